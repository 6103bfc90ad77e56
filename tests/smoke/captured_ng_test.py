# SPDX-License-Identifier: BSD-3-Clause
"""Kamailio's rtpengine module repeats the captures of tests/data/ng."""

import json
import socket
import time

from lab.ng import decode
from smoke.captured import DATA, CapturedCase, routes
from smoke.relay import UDP_PORT
from smoke.sip import Agent, body
from smoke.tap import Tap

CALLS = routes("""
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "RELAY")
""", invite='rtpengine_offer("FLAGS"); LOG; t_on_reply("R");',
    reply='rtpengine_answer("ICE=force RTP/AVP replace-origin replace-session-connection"); LOG;',
    bye="rtpengine_delete(); LOG;")
FORCE = "ICE=force RTP/AVP replace-origin replace-session-connection trust-address"
OWN_KEYS = "replace-origin media-relay=198.51.100.7 relay-zone=eu strange-flag to-tag"
NODES = """
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "unix:ONE=2 unix:TWO=1")
modparam("rtpengine", "rtpengine_disable_tout", 1)
modparam("rtpengine", "rtpengine_allow_op", 1)
modparam("rtpengine", "hash_algo", 2)
request_route {
    if (is_method("INVITE")) {
        rtpengine_offer(); LOG;
        t_newtran();
        t_reply("486", "Busy");
        rtpengine_delete(); LOG;
        exit;
    }
}
"""
DIALOGS = """
loadmodule "jsonrpcs.so"
loadmodule "dialog.so"
loadmodule "rtpengine.so"
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "RPC")
modparam("dialog", "dlg_flag", 4)
modparam("dialog", "track_cseq_updates", 0)
modparam("rtpengine", "rtpengine_sock", "RELAY")
request_route {
    if (has_totag()) {
        if (loose_route() || is_method("ACK")) t_relay();
        exit;
    }
    if (is_method("INVITE")) {
        setflag(4);
        record_route();
        t_on_reply("R");
        rtpengine_offer(); LOG;
        $du = "sip:127.0.0.1:5080";
        t_relay();
    }
}
onreply_route[R] {
    if (has_body("application/sdp")) { rtpengine_answer(); LOG; }
}
event_route[dialog:end] {
    rtpengine_delete("call-id=$dlg(callid) from-tag=$dlg(from_tag)"); LOG;
}
"""

# Trickled candidates arrive by INFO within the dialog. The script can pass them on in two ways.
TRICKLE = CALLS.replace('if (is_method("BYE"))', """if (is_method("INFO")) {
                rtpengine_info(); LOG;
                rtpengine_offer("trust-address"); LOG;
            }
            if (is_method("BYE"))""").replace("FLAGS", "trickle-ice")
FRAGMENT = ("a=ice-ufrag:{}\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
            "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
            "a=candidate:1 1 UDP 2130706431 {} 4000 typ host\r\n")


def captured(*names):
    return [(DATA / "ng" / f"{name}.bin").read_bytes() for name in names]


def bare(message):
    """The message without its UDP cookie."""
    return message if message[:1] == b"d" else message.split(b" ", 1)[1]


def facts(message):
    return decode(bare(message))[0]


class CapturedNgTest(CapturedCase):
    def setUp(self):
        super().setUp()
        self.relay = self.new_relay().start()

    def tap(self, name="tap.sock"):
        """A socket in front of the relay's that records requests and replies."""
        tap = Tap(self.relay.folder / name, self.relay.socket)
        self.addCleanup(tap.close)
        return tap

    def make_call(self, offer, answer):
        """Makes the captured call up to its answer; returns the dialog and both received SDPs."""
        dialog = self.dialog(offer["call-id"], offer["from-tag"], answer["to-tag"])
        return dialog, dialog.set_up(offer=offer["sdp"], answer=answer["sdp"])

    def replayed(self, tap, *names):
        ping, offer, answer, delete = captured(*names)
        dialog, seen = self.make_call(facts(offer), facts(answer))
        dialog.bye()
        self.assertEqual([bare(request) for request in tap.requests()],
                         [bare(request) for request in (ping, offer, answer, delete)])
        self.assertEqual(self.returned(), [("rtpengine_offer", 1), ("rtpengine_answer", 1),
                                           ("rtpengine_delete", 1)])
        replies = [facts(exchange.reply) for exchange in tap.exchanges]
        self.assertEqual([reply["result"] for reply in replies], ["pong", "ok", "ok", "ok"])
        self.assertEqual(seen, (replies[1]["sdp"], replies[2]["sdp"]))
        self.relay.check_stop()

    def test_rtpengine_unix(self):
        tap = self.tap()
        self.start_script(CALLS.replace("RELAY", f"unix:{tap.at}").replace("FLAGS", FORCE))
        self.replayed(tap, "unix_ping", "unix_offer", "unix_answer", "unix_delete")

    def test_rtpengine_udp(self):
        tap = Tap(UDP_PORT + 1, UDP_PORT, self.bed.relay)
        self.addCleanup(tap.close)
        self.start_script(CALLS.replace("RELAY", f"udp:127.0.0.1:{tap.at}")
                          .replace("FLAGS", FORCE))
        self.replayed(tap, "udp_ping", "udp_offer", "udp_answer", "udp_delete")
        for request, reply in tap.exchanges:
            self.assertEqual(reply.split(b" ")[0], request.split(b" ")[0])

    def test_rtpengine_customkey(self):
        tap = self.tap()
        self.start_script(CALLS.replace("RELAY", f"unix:{tap.at}").replace("FLAGS", OWN_KEYS))
        self.replayed(tap, "unix_ping", "unix_offer_custom_keys", "unix_answer_custom_keys",
                      "unix_delete_custom_keys")

    def test_rtpengine_unix_delay(self):
        """Retransmissions: the script sends a request to the relay for each of them."""
        tap = self.tap()
        self.start_script(CALLS.replace("RELAY", f"unix:{tap.at}").replace("FLAGS", FORCE))
        ping, offer, answer, delete = captured("unix_ping", "unix_offer", "unix_answer",
                                               "unix_delete")
        asked = facts(offer)
        dialog = self.dialog(asked["call-id"], asked["from-tag"])
        dialog.request(self.alice, "INVITE", asked["sdp"])
        self.alice.repeat()
        invite = self.bob.receive("INVITE")
        self.wait_for(lambda: len(tap.exchanges) == 3, "the second offer")
        self.bob.reply(invite, "200 OK", "uastag1", facts(answer)["sdp"])
        dialog.established(self.alice, invite, self.alice.receive("SIP/2.0 200"))
        dialog.request(self.alice, "ACK")
        self.bob.receive("ACK")
        dialog.request(self.alice, "BYE")
        self.alice.repeat()
        self.bob.reply(self.bob.receive("BYE"), "200 OK")
        self.wait_for(lambda: len(tap.exchanges) == 6, "the second delete")
        self.assertEqual(tap.requests(), [ping, offer, offer, answer, delete, delete])
        first, second = (facts(exchange.reply) for exchange in tap.exchanges[1:3])
        self.assertEqual(first, second, "the repeated offer got other ports")
        self.assertEqual([facts(exchange.reply)["result"] for exchange in tap.exchanges[1:]],
                         ["ok"] * 5)
        self.assertEqual({result for _, result in self.returned()}, {1})
        self.relay.check_stop()

    def test_rtpengine_2node(self):
        """Two weighted relays: the second starts later and gets its share of the next calls."""
        one = self.tap("1.sock")
        self.start_script(NODES.replace("ONE", str(one.at))
                          .replace("TWO", str(self.relay.folder / "2.sock")))
        for serial in range(1, 10):
            self.refused_call(serial, 32227, one)
        self.assertEqual(one.requests()[1:], self.captured_calls(range(1, 10), 32227))
        two = self.tap("2.sock")
        time.sleep(1.1)  # rtpengine_disable_tout, rounded up to a tick of Kamailio's clock
        del one.exchanges[:]
        for serial in range(1, 10):
            self.refused_call(serial, 32334, one, two)
        self.assertEqual(two.requests(), captured("unix_ping") +
                         self.captured_calls((1, 3, 5, 7), 32334))
        self.assertEqual(one.requests(), self.captured_calls((2, 4, 6, 8, 9), 32334))
        self.assertEqual({result for _, result in self.returned()}, {1})
        self.relay.check_stop()

    def test_candidates_by_info(self):
        """An SDP fragment (RFC 8840): only rtpengine_info() accepts a reply without SDP.

        Both functions send it to the relay with the flag `fragment`; the phone gets it unchanged.
        """
        tap = self.tap()
        self.start_script(TRICKLE.replace("RELAY", f"unix:{tap.at}"))
        dialog = self.dialog("trickle@example.com", "alice1", "bob1")
        ice = "a=mid:0\r\na=ice-ufrag:{}\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
        dialog.set_up(offer=self.pair.caller.sdp() + ice.format("alic"),
                      answer=self.pair.callee.sdp() + ice.format("bobs"))
        for sender, ufrag, address in ((self.alice, "alic", "198.18.0.11"),
                                       (self.bob, "bobs", "198.18.0.21")):
            self.returned()
            del tap.exchanges[:]
            fragment = FRAGMENT.format(ufrag, address)
            dialog.request(sender, "INFO", fragment, kind="trickle-ice-sdpfrag")
            info = dialog.other(sender).receive("INFO")
            dialog.other(sender).reply(info, "200 OK")
            sender.receive("SIP/2.0 200")
            self.assertEqual(body(info), fragment)
            self.assertEqual(self.returned(), [("rtpengine_info", 1), ("rtpengine_offer", -1)])
            for request, reply in tap.exchanges:
                asked = facts(request)
                self.assertEqual((asked["command"], asked["sdp"]), ("offer", fragment))
                self.assertIn("fragment", asked["flags"])
                self.assertEqual(facts(reply), {"result": "ok"})
            tag = self.relay.ng.command("query", call_id=dialog.call_id)["tags"][
                dialog.tags[sender]]
            self.assertIn(address, tag["medias"][0]["may be heard from"])
        self.relay.check_stop()

    def captured_calls(self, serials, run):
        """The offer and the delete of each call of one SIPp run with process ID `run`."""
        requests = []
        for serial in serials:
            for message, was in zip(captured("unix_offer_plain", "unix_delete"),
                                    (b"32227", b"21645")):
                requests.append(message.replace(b"1-%b@" % was, b"%d-%d@" % (serial, run))
                                .replace(b"%bSIPpTag001" % was, b"%dSIPpTag00%d" % (run, serial)))
        return requests

    def refused_call(self, serial, run, *taps):
        before = sum(len(tap.exchanges) for tap in taps)
        dialog = self.dialog(f"{serial}-{run}@127.0.0.1", f"{run}SIPpTag00{serial}")
        dialog.request(self.alice, "INVITE", facts(captured("unix_offer_plain")[0])["sdp"])
        self.alice.receive("SIP/2.0 486")
        dialog.request(self.alice, "ACK")
        self.wait_for(lambda: sum(len(tap.exchanges) for tap in taps) >= before + 2, "the delete")

    def rpc(self, method, *params):
        """Sends a JSON-RPC request to Kamailio's UNIX datagram socket; returns the result."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.bind(str(self.relay.folder / f"client{next(Agent.numbers)}"))
            client.sendto(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method,
                                      "params": params}).encode(),
                          str(self.relay.folder / "rpc.sock"))
            return json.loads(client.recv(65536))["result"]

    def call_of_a_dialog(self, tap):
        self.start_script(DIALOGS.replace("RELAY", f"unix:{tap.at}")
                          .replace("RPC", str(self.relay.folder / "rpc.sock")))
        offer, answer, _ = captured("dialog_offer", "dialog_answer", "dialog_delete")
        self.make_call(facts(offer), facts(answer))
        [dialog] = self.rpc("dlg.list")
        self.assertEqual(dialog["call-id"], facts(offer)["call-id"])
        return dialog

    def ended_dialog(self, tap):
        """Both phones get a BYE; the module deletes the call, without a to-tag."""
        for agent in (self.alice, self.bob):
            agent.reply(agent.receive("BYE"), "200 OK")
        self.wait_for(lambda: len(tap.exchanges) == 4, "the delete")
        self.wait_for(lambda: self.rpc("dlg.list") == [], "the end of the dialog")
        self.assertEqual(tap.requests(), captured("unix_ping", "dialog_offer", "dialog_answer",
                                                  "dialog_delete"))
        self.assertEqual(self.returned(), [("rtpengine_offer", 1), ("rtpengine_answer", 1),
                                           ("rtpengine_delete", 1)])
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()

    def test_kamailio_rpc_end(self):
        tap = self.tap()
        dialog = self.call_of_a_dialog(tap)
        self.assertEqual(self.rpc("dlg.end_dlg", dialog["h_entry"], dialog["h_id"]), {})
        self.ended_dialog(tap)

    def test_kamailio_rpc_terminate(self):
        tap = self.tap()
        dialog = self.call_of_a_dialog(tap)
        self.assertEqual(self.rpc("dlg.terminate_dlg", dialog["call-id"],
                                  dialog["caller"]["tag"], dialog["callee"]["tag"]), {})
        self.ended_dialog(tap)

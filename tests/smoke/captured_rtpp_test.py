# SPDX-License-Identifier: BSD-3-Clause
"""Kamailio's rtpproxy module repeats the captures of tests/data/rtpp."""

import collections
import pathlib
import re
import tempfile

from smoke.captured import DATA, CapturedCase, routes, sdps
from smoke.relay import SLOWNESS
from smoke.tap import Tap

RTPP_UDP = 22222
CALLS = routes("""
loadmodule "rtpproxy.so"
modparam("rtpproxy", "rtpproxy_sock", "RELAY")
MODPARAM
""", invite='PRIORITY rtpproxy_offer("cor"); LOG; t_on_reply("R");',
    reply='PRIORITY rtpproxy_answer("cor"); LOG;', bye="rtpproxy_destroy(); LOG;")
PRIORITY_AVP = 'modparam("rtpproxy", "ice_candidate_priority_avp", "$avp(ice_priority)")'
BRANCHES = """
# One worker: rtpproxy_stream2uac() finds no relay in a process that has made no offer before.
children=1
loadmodule "rtpproxy.so"
modparam("rtpproxy", "rtpproxy_sock", "RELAY")
modparam("rtpproxy", "timeout_socket", "unix:/run/notify.sock")
request_route {
    if (is_method("INVITE")) {
        rtpproxy_offer("1cor"); LOG;
        sl_send_reply("486", "x");
    }
    if (is_method("BYE")) {
        rtpproxy_destroy("1"); LOG;
    }
    if (is_method("INFO|BYE")) {
        rtpproxy_stream2uac("/v/p", "-1"); LOG;
        start_recording(); LOG;
        xlog("L_ERR", "STAT=$rtpstat\\n");
        sl_send_reply("200", "x");
    }
}
"""
SDP = ("v=0\r\no=alice 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\n"
       "m=audio 4000 RTP/AVP 0\r\n")


def captured(name):
    """(probes, commands) of a capture, without cookies."""
    lines = [re.sub(r"^\d+_\d+ ", "", line)
             for line in (DATA / "rtpp" / f"{name}.txt").read_text("ascii").splitlines()]
    return ([line for line in lines if line.startswith("V")],
            [line for line in lines if not line.startswith("V")])


class CapturedRtppTest(CapturedCase):
    def start(self, script, transport="unix", **keys):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-rtpp-"))
        socket = folder / "rtpp.sock"
        self.relay = self.new_relay({"control": [
            {"protocol": "rtpp", "path": str(socket)},
            {"protocol": "rtpp", "udp": f"127.0.0.1:{RTPP_UDP}"}]}, folder=folder).start()
        if transport == "unix":
            self.tap = Tap(folder / "tap.sock", socket)
        else:
            self.tap = Tap(RTPP_UDP + 1, RTPP_UDP, self.bed.relay)
        self.addCleanup(self.tap.close)
        script = script.replace("RELAY", f"unix:{self.tap.at}" if transport == "unix" else
                                f"udp:127.0.0.1:{self.tap.at}")
        for name, text in keys.items():
            script = script.replace(name, text)
        self.start_script(script)

    def recorded(self):
        """(probes, commands, replies to the commands) that the tap recorded, without cookies."""
        recorded = [tuple(re.sub(r"^\d+_\d+ ", "", text.decode()) for text in exchange)
                    for exchange in self.tap.exchanges]
        return ([request for request, _ in recorded if request.startswith("V")],
                [request for request, _ in recorded if not request.startswith("V")],
                [reply for request, reply in recorded if not request.startswith("V")])

    def assert_probed(self, name):
        """Each process of the proxy has sent the captured probes."""
        probes, _ = captured(name)
        asked = collections.Counter(self.recorded()[0])
        self.assertEqual(set(asked), set(probes))
        self.assertEqual(len(set(asked.values())), 1, asked)

    def replayed(self, name):
        commands = captured(name)[1]
        _, call_id, _, _, from_tag = commands[0].split()
        dialog = self.dialog(call_id, from_tag.removesuffix(";1"))
        offer, answer = sdps()
        seen = dialog.set_up(offer=offer, answer=answer)
        dialog.bye()
        self.assert_probed(name)
        _, sent, replies = self.recorded()
        self.assertEqual(sent, commands)
        for reply in replies[:4]:
            self.assertRegex(reply, r"^\d+ 198\.18\.0\.[23]\n$")
        self.assertEqual(replies[4], "0\n")
        self.assertEqual(self.returned(), [("rtpproxy_offer", 1), ("rtpproxy_answer", 1),
                                           ("rtpproxy_destroy", 1)])
        for sdp, ports in zip(seen, (replies[:2], replies[2:4])):
            self.assertEqual(re.findall(r"^m=\w+ (\d+)", sdp, re.M),
                             [reply.split()[0] for reply in ports])
        self.relay.check_stop()
        return seen

    def test_rtpproxy_unix(self):
        self.start(CALLS, MODPARAM="", PRIORITY="")
        for sdp in self.replayed("unix"):
            self.assertNotIn("typ relay", sdp)

    def test_rtpproxy_udp(self):
        self.start(CALLS, "udp", MODPARAM="", PRIORITY="")
        self.replayed("udp")

    def test_rtpproxy_ice(self):
        """The module adds relay candidates made from the reply's address and port."""
        self.start(CALLS, MODPARAM=PRIORITY_AVP, PRIORITY="$avp(ice_priority) = 2;")
        for sdp in self.replayed("unix"):
            port = re.search(r"^m=audio (\d+)", sdp, re.M)[1]
            self.assertRegex(sdp, rf"a=candidate:\S+ 1 UDP \d+ 198\.18\.0\.[23] {port} typ relay")

    def test_rtpproxy_reply_err(self):
        """Refused requests: the functions fail and leave the SDP unchanged."""
        self.start(CALLS, MODPARAM="", PRIORITY="")
        commands = captured("unix")[1]
        offer, answer = sdps()
        kept = self.dialog("kept", "a")
        kept.set_up(offer=offer, answer=answer)
        self.drain()
        self.returned()
        del self.tap.exchanges[:]
        _, call_id, _, _, from_tag = commands[0].split()
        dialog = self.dialog(call_id, from_tag.removesuffix(";1"))
        self.assertEqual(dialog.set_up(offer=offer, answer=answer), (offer, answer))
        dialog.bye()
        _, sent, replies = self.recorded()
        self.assertEqual(sent, [commands[0], commands[2], commands[4]])
        self.assertEqual(replies, ["E99\n", "0\n", "E50\n"])
        self.assertEqual([(name, result < 0) for name, result in self.returned()],
                         [("rtpproxy_offer", True), ("rtpproxy_answer", True),
                          ("rtpproxy_destroy", False)])
        kept.bye()
        self.assertEqual(self.relay.process.wait(5 * SLOWNESS), 0)

    def send(self, method, to_tag=""):
        """Sends a request of the call, which the script answers itself."""
        self.alice.send(f"{method} sip:bob@example.com SIP/2.0",
                        ["Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKbr1",
                         "From: <sip:alice@example.com>;tag=ft",
                         f"To: <sip:bob@example.com>{to_tag}", "Call-ID: cid1",
                         f"CSeq: 1 {method}", "Max-Forwards: 9"], SDP if method == "INVITE" else "")
        self.alice.receive("SIP/2.0 486" if method == "INVITE" else "SIP/2.0 200")

    def test_rtpproxy_reinvite_timeout(self):
        """Via branch, notification socket without a tag; refused playback and recording."""
        self.start(BRANCHES)
        self.send("INVITE")
        self.send("INVITE", ";tag=tt")
        self.send("INFO", ";tag=tt")
        self.send("BYE", ";tag=tt")
        self.assert_probed("reinvite_timeout")
        commands = captured("reinvite_timeout")[1]
        _, sent, replies = self.recorded()
        self.assertEqual(sent, commands[:2] + commands[3:] + commands[2:])  # INFO: all but D
        self.assertRegex(replies[0], r"^\d+ 198\.18\.0\.[23]\n$")
        self.assertEqual(replies[1], replies[0])
        # During the call and after it. The module accepts any reply to P and R.
        self.assertEqual(replies[2:4] + replies[6:8], ["E60\n", "E50\n", "E50\n", "E50\n"])
        self.assertEqual((replies[4], replies[5], replies[8]), ("240 0 0 0 0\n", "0\n", "E50\n"))
        log = (self.relay.folder / "kamailio.log").read_text("utf-8", "replace")
        self.assertEqual(re.findall("STAT=(.*)", log), ["240 0 0 0 0", "E50"])
        self.assertEqual([name for name, result in self.returned() if result == 1],
                         ["rtpproxy_offer"] * 2 + ["rtpproxy_stream2uac", "start_recording",
                          "rtpproxy_destroy", "rtpproxy_stream2uac", "start_recording"])
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()

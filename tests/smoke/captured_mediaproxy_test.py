# SPDX-License-Identifier: BSD-3-Clause
"""Kamailio's mediaproxy module repeats the captures of tests/data/mediaproxy."""

import pathlib
import re
import signal
import time

from smoke.captured import DATA, CapturedCase, routes, sdps
from smoke.relay import SLOWNESS
from smoke.tap import Tap

MODULES = """
loadmodule "dialog.so"
loadmodule "mediaproxy.so"
modparam("dialog", "dlg_flag", 4)
modparam("mediaproxy", "mediaproxy_socket", "RELAY")
modparam("mediaproxy", "ice_candidate", "high-priority")
"""
REPLY = "use_media_proxy(); LOG;"
USE = routes(MODULES, invite='use_media_proxy(); LOG; t_on_reply("R");', reply=REPLY,
             bye="end_media_session(); LOG;")
ENGAGE = routes(MODULES, invite="engage_media_proxy(); LOG;", reply=REPLY, bye="")
AVP = routes(MODULES, invite="""
        $avp(s:media_relay) = "198.51.100.7";
        $avp(s:signaling_ip) = "{\\"signaling_ip\\":\\"1.2.3.4\\",\\"username\\":\\"alice\\"}";
        $avp(s:ice_candidate) = "low-priority";
        engage_media_proxy(); LOG;""", reply=REPLY, bye="")
USED = [("use_media_proxy", 1), ("use_media_proxy", 1), ("end_media_session", 1)]


def captured(name):
    return [(DATA / "mediaproxy" / f"{name}_{part}").read_bytes()
            for part in ("request", "reply", "remove")]


def without_dialog_id(request):
    """Masks the dialog's number, which Kamailio draws; the line itself must be there."""
    return re.sub(rb"^dialog_id: \d+:\d+", b"dialog_id: N:N", request, flags=re.M)


class CapturedMediaproxyTest(CapturedCase):
    def start(self, script, tapped=True):
        self.relay = self.new_relay().start()
        socket = self.relay.mediaproxy_socket
        if tapped:
            self.tap = Tap(self.relay.folder / "tap.sock", socket)
            self.addCleanup(self.tap.close)
            socket = self.tap.at
        self.start_script(script.replace("RELAY", str(socket)))

    def make_call(self, name):
        """Makes the captured call; returns the offer and the answer as the phones received them."""
        request = captured(name)[0].decode()
        dialog = self.dialog(re.search(r"^call_id: (\S+)", request, re.M)[1],
                             re.search(r"^from_tag: (\S+)", request, re.M)[1])
        offer, answer = sdps()
        seen = dialog.set_up(offer=offer, answer=answer)
        dialog.bye()
        return seen

    def replayed(self, name):
        seen = self.make_call(name)
        self.wait_for(lambda: len(self.tap.exchanges) == 3, "the remove")
        self.assertEqual([without_dialog_id(request) for request in self.tap.requests()],
                         [without_dialog_id(request) for request in captured(name)])
        *replies, removed = (exchange.reply.decode() for exchange in self.tap.exchanges)
        self.assertEqual(removed, "removed\r\n")
        for sdp, reply, own in zip(seen, replies, sdps()):
            address, *ports = reply.removesuffix("\r\n").split(" ")
            self.assertEqual(re.findall(r"^m=\w+ (\d+)", sdp, re.M), ports)
            self.assertIn(f"c=IN IP4 {address}\r", sdp)
            candidates = re.findall(r"^a=candidate:\S+ (\d) UDP (\d+) (\S+) (\d+) typ relay", sdp,
                                    re.M)
            self.assertEqual({(part, int(port) - int(ports[0])) for part, _, _, port in candidates},
                             {(part, int(part) - 1)
                              for part in re.findall(r"^a=candidate:\S+ (\d)", own, re.M)})
            self.assertEqual({host for _, _, host, _ in candidates}, {address})
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()
        return int(candidates[0][1])

    def test_mediaproxy_use(self):
        self.start(USE)
        high = self.replayed("use")
        self.assertEqual(self.returned(), USED)
        self.assertGreater(high, 2**30, "high-priority")

    def test_mediaproxy_engage(self):
        """The module sends an update for each SDP body and a remove at the end of the dialog."""
        self.start(ENGAGE)
        self.replayed("engage")
        self.assertEqual(self.returned(), [("engage_media_proxy", 1)])

    def test_mediaproxy_avp(self):
        """AVPs set by the script for this call: signaling_ip as JSON, media_relay, priority."""
        self.start(AVP)
        low = self.replayed("avp")
        self.assertEqual(self.returned(), [("engage_media_proxy", 1)])
        self.assertLess(low, 2**24, "low-priority")

    def test_mediaproxy_restart(self):
        """The module reconnects after a restart between two calls."""
        self.start(USE, tapped=False)
        for _ in range(2):
            offered, answered = self.make_call("use")
            self.assertRegex(offered, r"c=IN IP4 198\.18\.0\.[23]\r")
            self.assertRegex(answered, r"c=IN IP4 198\.18\.0\.[23]\r")
            self.assertEqual(self.returned(), USED)
            self.relay.check_stop()
            self.relay.start()
        self.relay.check_stop()

    def all_threads_stopped(self):
        """SIGSTOP is asynchronous: a running thread may still reply after kill() has returned."""
        threads = pathlib.Path(f"/proc/{self.relay.process.pid}/task").glob("*/status")
        return all("State:\tT" in thread.read_text() for thread in threads)

    def test_mediaproxy_slow(self):
        """A relay that replies after the module's timeout: its late replies are ignored."""
        self.start(USE, tapped=False)
        self.relay.process.send_signal(signal.SIGSTOP)
        self.wait_for(self.all_threads_stopped, "the stop of all threads")
        asked = time.monotonic()
        self.assertEqual(self.make_call("use"), tuple(sdps()))
        self.assertGreater(time.monotonic() - asked, 0.5)  # mediaproxy_timeout
        self.relay.process.send_signal(signal.SIGCONT)
        self.assertEqual([result < 0 for _, result in self.returned()], [True] * 3)
        self.assertEqual(self.relay.ng.command("ping")["result"], "pong")
        self.relay.check_stop()

    def test_mediaproxy_reply_error(self):
        """Refused requests: the functions fail and leave the SDP unchanged."""
        self.start(USE)
        offer, answer = sdps()
        kept = self.dialog("kept", "a")
        kept.set_up(offer=offer, answer=answer)
        self.drain()
        self.returned()
        del self.tap.exchanges[:]
        self.assertEqual(self.make_call("use"), (offer, answer))
        self.assertEqual(self.tap.requests(), captured("use"))
        self.assertEqual([exchange.reply for exchange in self.tap.exchanges],
                         [b"error\r\n", b"error\r\n", b"removed\r\n"])
        self.assertEqual([result < 0 for _, result in self.returned()], [True, True, False])
        kept.bye()
        self.assertEqual(self.relay.process.wait(5 * SLOWNESS), 0)

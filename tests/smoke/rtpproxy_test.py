# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Kamailio and its rtpproxy module with configs/kamailio-rtpproxy.cfg."""

import pathlib
import tempfile
import time

from smoke.ng import connected
from smoke.proxy import ROOT
from smoke.realm_test import ADDRESS6, CALLER6, FAR6, REALMS, RealmBed
from smoke.relay import SLOWNESS
from smoke.sip import Dialog, EitherTransport, SipCase

CONFIG = ROOT / "configs" / "kamailio-rtpproxy.cfg"
RTPP_UDP = 22222


class RtpproxyCase(SipCase):
    def start(self, transport, settings=None, phones=None, near=None, remote=None,
              network="192.0.2.0/24"):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-rtpp-"))
        unix = folder / "rtpp.sock"
        self.relay = self.new_relay((settings or {}) | {"control": [
            {"protocol": "rtpp", "path": str(unix)},
            {"protocol": "rtpp", "udp": f"127.0.0.1:{RTPP_UDP}"}]}, folder=folder).start()
        relay = f"unix:{unix}" if transport == "unix" else f"udp:127.0.0.1:{RTPP_UDP}"
        self.start_proxy(CONFIG, f'MR_RTPPROXY="{near or relay}"',
                         f'MR_REMOTE_RTPPROXY="1 == {remote or relay}"',
                         f'MR_REMOTE_NETWORK="{network}"', phones=phones)


class RtpproxyTest(EitherTransport, RtpproxyCase):
    def test_refused_call_returns_its_ports(self):
        self.start("unix")
        self.refuse(Dialog(self.alice, self.bob))
        self.assertEqual(self.calls(), [])

    def test_caller_gets_503_within_a_second_without_a_relay(self):
        self.start("unix")
        self.relay.check_stop()
        begin = time.monotonic()
        self.assertRegex(Dialog(self.alice, self.bob).refused(), "^SIP/2.0 503")
        self.assertLess(time.monotonic() - begin, 1.0 * SLOWNESS)

    def test_audio_with_refused_video(self):
        """A reply with port 0 would make the module's function fail for the whole SDP."""
        self.start("unix")
        dialog = Dialog(self.alice, self.bob)
        video = "m=video {} RTP/AVP 96\r\n"
        _, answered = dialog.set_up(offer=self.alice.phone.sdp() + video.format(5004),
                                    answer=self.bob.phone.sdp() + video.format(0))
        self.assertIn("m=video 0 ", answered)
        self.assert_talking()
        dialog.bye()
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()

    def test_one_command_or_many_lines_per_connection(self):
        self.start("unix")
        for text, reply, stays in ((b"V", b"20040107\n", False), (b"V\n", b"20040107\n", True)):
            client = connected(self.relay.folder / "rtpp.sock")
            self.addCleanup(client.close)
            client.send(text)
            self.assertEqual(client.recv(255), reply)
            if stays:
                client.send(b"VF 20050322\nVF 2007")
                self.assertEqual(client.recv(255), b"1\n")
                client.send(b"1116\n")
                self.assertEqual(client.recv(255), b"0\n")
                client.send(b"\n")
                self.assertEqual(client.recv(255), b"E5\n")
            else:
                self.assertEqual(client.recv(255), b"")


class RealmTest(RtpproxyCase):
    make_bed = RealmBed

    def test_whole_call_over_ipv6(self):
        self.start("unix", {"interface": REALMS}, (self.phone(self.bed.caller, CALLER6),
                                                   self.phone(self.bed.far, FAR6)))
        self.assertEqual(self.whole_call(), (ADDRESS6, ADDRESS6))
        self.relay.check_stop()

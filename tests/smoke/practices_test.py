# SPDX-License-Identifier: BSD-3-Clause
"""The seven practices of NAT traversal, numbered as in the shipped Kamailio examples.

Practice 6, the relay near the subscriber, is tested for rtpengine and rtpproxy in their own files.
"""

import pathlib
import re
import tempfile

from smoke.captured import sdps
from smoke.proxy import CONFIG, ROOT
from smoke.sip import Dialog, SipCase
from smoke.tap import Tap

PING_SECONDS = 1


def header(name, message):
    return re.search(rf"^{name}: ([^\r]*)", message, re.M)[1]


def candidates(sdp):
    return re.findall("^a=candidate:[^\r]*", sdp, re.M)


class PracticesTest(SipCase):
    host = "100.64.0.50"  # the phones' public address

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bed.relay.ip(f"address add {cls.host}/32 dev lo")

    def start(self, config, module, socket, settings=None, folder=None):
        self.relay = self.new_relay(settings, folder=folder).start()
        self.tap = Tap(self.relay.folder / "tap.sock", socket or self.relay.socket)
        self.addCleanup(self.tap.close)
        scheme = "" if module == "mediaproxy" else "unix:"
        self.start_agents(config, "MR_ADDRESS=127.0.0.1", "MR_WORKERS=2",
                          f"MR_PING_SECONDS={PING_SECONDS}",
                          f'MR_RPC="{self.relay.folder / "rpc.sock"}"',
                          f'MR_{module.upper()}="{scheme}{self.tap.at}"')
        log = self.relay.folder / "kamailio.log"
        self.assertTrue(self.alice.register(), log.read_text("utf-8", "replace")[-4000:])
        # The private addresses that the phones put into Contact.
        self.alice.contact = "Contact: <sip:alice@192.168.1.60:5060>"
        self.bob.contact = "Contact: <sip:bob@192.168.1.50:5060>"

    def register(self):
        """Registers bob with Expires: 3600."""
        self.bob.send("REGISTER sip:127.0.0.1 SIP/2.0", [
            "Via: SIP/2.0/UDP 192.168.1.50:5060;branch=z9hG4bKnat",
            f"From: <{self.bob.address}>;tag=r", f"To: <{self.bob.address}>", "Call-ID: nat",
            "CSeq: 1 REGISTER", "Max-Forwards: 70", "Expires: 3600"])
        reply = self.bob.receive("SIP/2.0 200")
        # (1) The response goes to the source of the request, not to the Via address.
        self.assertRegex(header("Via", reply), f"rport=5080;received={self.host}$")
        # (2) The proxy grants 85 s. (5) It stores the source beside the unchanged contact.
        self.assertEqual(header("Contact", reply), '<sip:bob@192.168.1.50:5060>;expires=85;'
                                                   f'received="sip:{self.host}:5080"')

    def assert_kept_alive(self):
        ping = self.bob.socket.recv(65536).decode()  # (2) from the proxy, to the phone's source
        self.assertTrue(ping.startswith("OPTIONS sip:bob@192.168.1.50:5060 SIP/2.0\r\n"), ping)
        self.bob.reply(ping, "200 OK")
        self.alice.request("OPTIONS", "sip:127.0.0.1", [  # (3) from the phone
            "From: <sip:alice@127.0.0.1>;tag=k", "To: <sip:127.0.0.1>", "Call-ID: keepalive"], 1)
        self.alice.receive("SIP/2.0 200")

    def call(self):
        """Makes two calls; returns the first one's SDP as the callee and the caller received it."""
        dialog = Dialog(self.alice, self.bob)
        offer, answer = sdps()
        seen = dialog.set_up(offer=offer, answer=answer)
        # (1) The INVITE reaches bob by (5); requests within the dialog reach alice by an alias.
        # (7) The rest of the contact and the dialog's identifiers are unchanged (see set_up).
        self.assertEqual(dialog.targets, {
            self.bob: f"sip:alice@192.168.1.60:5060;alias={self.host}~5070~1",
            self.alice: f"sip:bob@192.168.1.50:5060;alias={self.host}~5080~1"})
        self.assertEqual(self.calls(), [dialog.call_id])
        dialog.bye(self.bob)
        dialog = Dialog(self.alice, self.bob)
        dialog.set_up()
        dialog.bye(self.alice)
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()
        # (4) The phones' own candidates pass unchanged.
        for own, passed in zip((offer, answer), seen):
            self.assertEqual([line for line in candidates(passed) if " typ relay" not in line],
                             candidates(own))
        return seen

    def test_rtpengine(self):
        self.start(CONFIG, "rtpengine", None)
        self.register()
        self.assert_kept_alive()
        for sdp in self.call():
            self.assertIn(" typ relay", sdp)

    def test_rtpproxy(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-rtpp-"))
        socket = folder / "rtpp.sock"
        self.start(ROOT / "configs" / "kamailio-rtpproxy.cfg", "rtpproxy", socket,
                   {"control": [{"protocol": "rtpp", "path": str(socket)}]}, folder)
        self.register()
        self.assert_kept_alive()
        self.call()
        # (1) The module replaces a private address in the SDP by the source of the message.
        commands = [request.decode().split() for request in self.tap.requests()
                    if request[:1] in (b"U", b"L")]
        self.assertEqual([command[2] for command in commands[:4]], [self.host] * 4)

    def test_mediaproxy(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-mediaproxy-"))
        self.start(ROOT / "configs" / "kamailio-mediaproxy.cfg", "mediaproxy",
                   folder / "mediaproxy.sock", folder=folder)
        self.register()
        self.assert_kept_alive()
        for sdp in self.call():
            self.assertIn(" typ relay", sdp)
        # (6) Each update carries the phone's and the proxy's address, for the choice of a relay.
        updates = [request for request in self.tap.requests() if request.startswith(b"update")]
        self.assertEqual(len(updates), 4)
        for request in updates:
            self.assertIn(f"\r\nsignaling_ip: {self.host}_127.0.0.1\r\n".encode(), request)

# SPDX-License-Identifier: BSD-3-Clause
"""The shipped Kamailio examples as a user gets them: two edited lines, no -A defines.

Only the socket folders differ, because a test must not use those of the host.
"""

import pathlib
import re
import tempfile

from smoke.proxy import ROOT
from smoke.sip import PROXY, Dialog, SipCase

DOMAIN = "voice.example.net"
MODULES = ("rtpengine", "rtpproxy", "mediaproxy")


def edit(text, name, value):
    """Sets one `#!trydef` line, which must occur exactly once."""
    edited, count = re.subn(rf"^#!trydef {name} .*$", f"#!trydef {name} {value}", text,
                            flags=re.MULTILINE)
    assert count == 1, f"{count} lines define {name}"
    return edited


class ShippedConfigTest(SipCase):
    def start(self, module, domain, settings=None):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-shipped-"))
        control = [{"protocol": "rtpp", "path": str(folder / "rtpp.sock")}]
        self.relay = self.new_relay((settings or {}) | {"control": control},
                                    folder=folder).start()
        text = (ROOT / "configs" / f"kamailio-{module}.cfg").read_text(encoding="ascii")
        text = edit(edit(text, "MR_ADDRESS", PROXY[0]), "MR_DOMAIN", DOMAIN)
        config = folder / "kamailio.cfg"
        config.write_text(re.sub("/run/(millrace|kamailio)", str(folder), text), encoding="ascii")
        self.domain = domain
        self.start_agents(config)
        self.wait_for_proxy()
        self.assertTrue(self.alice.register())

    def call_with(self, module, domain):
        self.start(module, domain)
        dialog = Dialog(self.alice, self.bob)
        offer, _ = dialog.set_up()
        self.assertNotIn(f"c=IN IP4 {self.pair.caller.address}\r", offer)
        self.assert_talking()
        dialog.bye()
        self.relay.check_stop()

    def keep_call_after_refused_reinvites(self, module):
        """A re-INVITE that the callee refuses, and one that the proxy cannot send."""
        self.start(module, PROXY[0])
        dialog = Dialog(self.alice, self.bob)
        dialog.set_up()
        self.assert_talking()
        dialog.request(self.alice, "INVITE", self.alice.phone.sdp())
        self.bob.reply(self.bob.receive("INVITE"), "488 Not Acceptable Here", dialog.tags[self.bob])
        self.bob.receive("ACK")
        self.alice.receive("SIP/2.0 488")
        self.alice.acknowledge()
        self.assertEqual(self.calls(), [dialog.call_id])
        self.assert_talking()

        target = dialog.targets[self.alice]
        dialog.targets[self.alice] = "sip:bob@203.0.113.99:5080"
        dialog.request(self.alice, "INVITE", self.alice.phone.sdp())
        for status in ("500", "477"):  # of the script, and of the transaction
            self.alice.receive(f"SIP/2.0 {status}")
        self.alice.acknowledge()
        dialog.targets[self.alice] = target
        self.assertEqual(self.calls(), [dialog.call_id])
        self.assert_talking()
        dialog.request(self.alice, "BYE")
        self.bob.reply(self.bob.receive("BYE"), "200 OK")
        self.alice.receive("SIP/2.0 200", passing="SIP/2.0 477")
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()

    def test_failed_second_media_leaves_no_call(self):
        """rtpproxy's module sends one command for each m= line."""
        self.start("rtpproxy", PROXY[0], {"limits": {"streams": 1}})
        dialog = Dialog(self.alice, self.bob)
        dialog.request(self.alice, "INVITE",
                       self.alice.phone.sdp() + "m=video 5004 RTP/AVP 96\r\n")
        self.alice.receive("SIP/2.0 503")
        self.alice.acknowledge()
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()


def both(module):
    def by_address(self):
        self.call_with(module, PROXY[0])

    def by_domain(self):
        self.call_with(module, DOMAIN)

    setattr(ShippedConfigTest, f"test_{module}_by_address", by_address)
    def refused_reinvites(self):
        self.keep_call_after_refused_reinvites(module)

    setattr(ShippedConfigTest, f"test_{module}_by_domain", by_domain)
    setattr(ShippedConfigTest, f"test_{module}_refused_reinvites", refused_reinvites)


for name in MODULES:
    both(name)

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
    def call_with(self, module, domain):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-shipped-"))
        self.relay = self.new_relay({"control": [{"protocol": "rtpp",
                                                  "path": str(folder / "rtpp.sock")}]},
                                    folder=folder).start()
        text = (ROOT / "configs" / f"kamailio-{module}.cfg").read_text(encoding="ascii")
        text = edit(edit(text, "MR_ADDRESS", PROXY[0]), "MR_DOMAIN", DOMAIN)
        config = folder / "kamailio.cfg"
        config.write_text(re.sub("/run/(millrace|kamailio)", str(folder), text), encoding="ascii")
        self.domain = domain
        self.start_agents(config)
        self.wait_for_proxy()
        self.assertTrue(self.alice.register())
        dialog = Dialog(self.alice, self.bob)
        offer, _ = dialog.set_up()
        self.assertNotIn(f"c=IN IP4 {self.pair.caller.address}\r", offer)
        self.assert_talking()
        dialog.bye()
        self.relay.check_stop()


def both(module):
    def by_address(self):
        self.call_with(module, PROXY[0])

    def by_domain(self):
        self.call_with(module, DOMAIN)

    setattr(ShippedConfigTest, f"test_{module}_by_address", by_address)
    setattr(ShippedConfigTest, f"test_{module}_by_domain", by_domain)


for name in MODULES:
    both(name)

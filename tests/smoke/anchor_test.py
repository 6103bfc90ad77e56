# SPDX-License-Identifier: BSD-3-Clause
"""Re-anchoring: a SIP proxy moves a live call to this relay, one phone behind a NAT.

As OpenSIPS's rtp_relay:update does it: an offer with both tags and the callee's last SDP, whose
source is the host of the callee's Contact, then an answer with the caller's, whose source is true.
"""

import subprocess
import time

from smoke.attack_test import FIRST_PORT, LAST_PORT, MARK, Sprayer
from smoke.bed import CALLER, Bed, Call, RelayCase
from smoke.frames import is_udp_from
from smoke.netns import Namespace, cable
from smoke.phone import open_path, receive
from smoke.relay import ADDRESS, GATEWAY, SLOWNESS

NAT, CONTACT = "198.18.0.30", "192.168.77.5"
RULES = """
table ip nat {
  chain out {
    type nat hook postrouting priority srcnat
    oifname "outside" masquerade fully-random
  }
}
"""


class NatBed(Bed):
    """With a phone at CONTACT in `home`, behind the NAT router `router` at NAT on the bridge."""

    def __init__(self):
        super().__init__()
        self.router, self.home = Namespace(), Namespace()
        cable(self.wire, "nat", self.router, "outside")
        cable(self.router, "inside", self.home, "eth0")
        self.wire.ip("link set nat master bridge0")
        self.router.ip(f"address add {NAT}/24 dev outside", "address add 192.168.77.1/24 dev inside",
                       f"route add default via {GATEWAY}")
        self.home.ip(f"address add {CONTACT}/24 dev eth0", "route add default via 192.168.77.1")
        self.router.forward()
        with self.router:
            subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)

    def close(self):
        super().close()
        self.router.close()
        self.home.close()


class AnchorTest(RelayCase):
    make_bed = NatBed
    settings = {"interface": {"ports": [FIRST_PORT, LAST_PORT]}}

    def parties(self, sdp_address=CONTACT):
        """The call as the relay sees it: the callee offers. And the callee."""
        callee = self.phone(self.bed.home, CONTACT, sdp_address=sdp_address)
        return Call(self.ng, callee, self.phone(self.bed.caller, CALLER)), callee

    def update(self, call, source):
        reply = self.ng.command("offer", call_id=call.call_id, from_tag=call.from_tag,
                                to_tag=call.to_tag, sdp=call.caller.sdp(),
                                received_from=["IP4", source])
        call.callee.connect(reply["sdp"])
        call.answer()

    def test_contact_with_the_address_of_the_nat(self):
        """As fix_nated_contact() leaves it."""
        call, _ = self.parties()
        self.update(call, NAT)
        self.assert_open(call)
        self.assert_both_ways(call.caller, call.callee)

    def test_private_contact_with_a_public_address_in_the_sdp(self):
        call, _ = self.parties(sdp_address=NAT)
        self.update(call, CONTACT)
        self.assert_open(call)
        self.assert_both_ways(call.caller, call.callee)

    def test_private_contact_of_a_call_that_the_relay_has(self):
        """The phone stays heard, also from another port of its NAT."""
        call, callee = self.parties()
        self.update(call, NAT)
        self.assert_open(call)
        for source in (CONTACT, "opensips.example"):
            self.update(call, source)
            self.assert_both_ways(call.caller, call.callee)
            callee.rebind()
            time.sleep(0.2)
            self.assert_open(call)

    def test_private_contact_alone_lets_no_stranger_in(self):
        """Nothing tells the phone from a stranger, until a message of its own names its source."""
        call, callee = self.parties()
        wire, inside = self.sniff(self.bed.attacker), self.sniff(self.bed.caller)
        with Sprayer(self.bed.attacker) as sprayer:
            self.wait_for(lambda: sprayer.rounds >= 10, "the attacker", 30.0 * SLOWNESS)
            self.update(call, CONTACT)
            self.assertFalse(open_path(callee, call.callee, 0.5))
            call.callee.send()
            self.update(call, NAT)  # its own re-INVITE
            self.assert_open(call)
            self.assert_both_ways(call.caller, call.callee)
        for frame in inside.receive(0, is_udp_from(ADDRESS)):
            self.assertNotIn(MARK, frame, "injected")
        self.assert_silent(wire.receive(0, is_udp_from(ADDRESS)), "sent to the attacker")

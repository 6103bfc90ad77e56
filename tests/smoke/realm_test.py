# SPDX-License-Identifier: BSD-3-Clause
"""Realms: IPv4 and IPv6, calls between families, one and two devices, address policies.

    caller .10    callee .20    attacker .66            far 203.0.113.20
           ::10          ::20            ::66               2001:db8:f::20
        |             |             |                          |
        +---- wire: bridge 198.18.0.0/24, 2001:db8:a::/64, router .1 and fe80::1 ----+
                            |
              relay0 .2 and .3, ::2 and ::3     relay1 100.64.0.2, 2001:db8:c::2
                                                  |
                                                core 100.64.0.20, 2001:db8:c::20
"""

import socket

from smoke.bed import ATTACKER, CALLEE, CALLER, FAR, Call, RelayCase
from smoke.netns import Namespace, cable
from smoke.ng import Refused
from smoke.phone import receive, transfer
from smoke.relay import ADDRESS, GATEWAY, SECOND_ADDRESS

CALLER6, CALLEE6, ATTACKER6 = "2001:db8:a::10", "2001:db8:a::20", "2001:db8:a::66"
FAR6, CORE, CORE6 = "2001:db8:f::20", "100.64.0.20", "2001:db8:c::20"
ADDRESS6, SECOND_ADDRESS6 = "2001:db8:a::2", "2001:db8:a::3"
SO_NO_CHECK = 11

REALMS = [
    {"name": "public", "aliases": ["outside"], "device": "net_af_packet0,iface=relay0",
     "addresses": [ADDRESS + "/24", ADDRESS6 + "/64"], "gateway": [GATEWAY, "fe80::1"]},
    {"name": "guests", "device": "net_af_packet0,iface=relay0",
     "addresses": [SECOND_ADDRESS + "/24", SECOND_ADDRESS6 + "/64"],
     "deny": [ATTACKER + "/32", ATTACKER6 + "/128", "private"]},
    {"name": "core", "device": "net_af_packet1,iface=relay1",
     "addresses": ["100.64.0.2/24", "2001:db8:c::2/64"],
     "allow": ["100.64.0.0/24", "2001:db8:c::/64"]},
]


class RealmBed:
    def __init__(self):
        self.relay = Namespace()
        self.wire, self.caller, self.callee, self.attacker, self.far, self.core = (
            Namespace(ipv6=True) for _ in range(6))
        self.wire.ip("link add bridge0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                     f"address add {GATEWAY}/24 dev bridge0", "link set bridge0 up",
                     "address add 2001:db8:a::1/64 dev bridge0",
                     "address add fe80::1/64 dev bridge0")
        cable(self.wire, "relay", self.relay, "relay0")
        self.wire.ip("link set relay master bridge0")
        for name, space, last in (("caller", self.caller, "10"), ("callee", self.callee, "20"),
                                  ("attacker", self.attacker, "66")):
            cable(self.wire, name, space, "eth0")
            self.wire.ip(f"link set {name} master bridge0")
            space.ip(f"address add 198.18.0.{last}/24 dev eth0",
                     f"address add 2001:db8:a::{last}/64 dev eth0")
        cable(self.wire, "far", self.far, "eth0")
        self.wire.ip("address add 203.0.113.1/24 dev far", "address add 2001:db8:f::1/64 dev far")
        self.wire.forward()
        self.far.ip(f"address add {FAR}/24 dev eth0", "route add 198.18.0.0/24 via 203.0.113.1",
                    f"address add {FAR6}/64 dev eth0",
                    "route add 2001:db8:a::/64 via 2001:db8:f::1")
        cable(self.relay, "relay1", self.core, "eth0")
        self.core.ip(f"address add {CORE}/24 dev eth0", f"address add {CORE6}/64 dev eth0")

    def close(self):
        for space in (self.relay, self.wire, self.caller, self.callee, self.attacker, self.far,
                      self.core):
            space.close()


class RealmTest(RelayCase):
    make_bed = RealmBed
    settings = {"interface": REALMS}

    def passes(self, caller, callee, at_caller, at_callee, **keys):
        """Checks that RTP and RTCP pass in both directions, through these relay addresses."""
        call = self.call(self.ng, caller, callee, **keys)
        self.assertEqual((caller.to[0], callee.to[0]), (at_caller, at_callee))
        for sender, receiver in ((caller, callee), (callee, caller)):
            # Even and odd lengths, for the last word of the checksum, and a long payload.
            payloads = [bytes([n]) * size for n, size in enumerate((1, 2, 3, 160, 161, 1200))]
            sent, packets = transfer(sender, receiver,
                                     datagrams=[sender.packet(payload) for payload in payloads])
            self.assert_received(sent, packets, source=receiver.to)
            report = sender.send_rtcp()
            self.assert_received([report], receive(receiver.rtcp, 2.0, 1), source=receiver.rtcp_to)
        call.delete()

    def test_call_over_ipv6(self):
        self.passes(self.phone(self.bed.caller, CALLER6), self.phone(self.bed.callee, CALLEE6),
                    ADDRESS6, ADDRESS6)

    def test_party_behind_a_link_local_gateway(self):
        self.passes(self.phone(self.bed.caller, CALLER6), self.phone(self.bed.far, FAR6),
                    ADDRESS6, ADDRESS6)

    def test_ipv4_caller_and_ipv6_callee(self):
        self.passes(self.phone(self.bed.caller, CALLER), self.phone(self.bed.callee, CALLEE6),
                    ADDRESS, ADDRESS6, address_family="IP6")

    def test_ipv6_caller_and_ipv4_callee(self):
        self.passes(self.phone(self.bed.caller, CALLER6), self.phone(self.bed.callee, CALLEE),
                    ADDRESS6, ADDRESS, address_family="IP4")

    def test_missing_udp_checksum_is_computed_for_ipv6(self):
        caller = self.phone(self.bed.caller, CALLER)
        for sock in (caller.rtp, caller.rtcp):
            sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        self.passes(caller, self.phone(self.bed.callee, CALLEE6), ADDRESS, ADDRESS6,
                    address_family="IP6")

    def test_two_realms_on_one_device(self):
        self.passes(self.phone(self.bed.caller, CALLER), self.phone(self.bed.callee, CALLEE),
                    ADDRESS, SECOND_ADDRESS, direction=["public", "guests"])
        self.passes(self.phone(self.bed.caller, CALLER6), self.phone(self.bed.callee, CALLEE),
                    SECOND_ADDRESS6, ADDRESS, direction=["guests", "public"], address_family="IP4")

    def test_two_realms_on_two_devices(self):
        self.passes(self.phone(self.bed.caller, CALLER), self.phone(self.bed.core, CORE),
                    ADDRESS, "100.64.0.2", direction=["public", "core"])
        self.passes(self.phone(self.bed.core, CORE6), self.phone(self.bed.caller, CALLER),
                    "2001:db8:c::2", ADDRESS, direction=["core", "public"], address_family="IP4")

    def test_realms_by_other_names(self):
        self.passes(self.phone(self.bed.caller, CALLER), self.phone(self.bed.core, CORE),
                    ADDRESS, "100.64.0.2", direction=["outside", "core"])
        self.passes(self.phone(self.bed.caller, CALLER), self.phone(self.bed.callee, CALLEE6),
                    ADDRESS, ADDRESS6, flags=["internal", "external"])

    def test_realms_by_peer(self):
        self.passes(self.phone(self.bed.caller, CALLER), self.phone(self.bed.core, CORE),
                    ADDRESS, "100.64.0.2", outbound_peer=CORE)
        self.passes(self.phone(self.bed.core, CORE6), self.phone(self.bed.far, FAR),
                    "2001:db8:c::2", ADDRESS, inbound_peer=CORE6, outbound_peer=FAR)
        self.refused(CALLER, "No interface reaches the peer 127.0.0.1", outbound_peer="127.0.0.1")

    def refused(self, address, reason, **keys):
        caller = self.phone(self.bed.caller, CALLER6 if ":" in address else CALLER)
        call = Call(self.ng, caller, self.phone(self.bed.callee, CALLEE), **keys)
        with self.assertRaisesRegex(Refused, reason, msg=address):
            call.offer(caller.sdp(address=address))

    def test_invalid_destinations_are_refused(self):
        unusable = "cannot be sent to|write a unicast address"
        for address in ("0.1.2.3", "255.255.255.255", "240.0.0.1", "198.18.0.255", "198.18.0.0",
                        "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1"):
            self.refused(address, unusable)
        # A phone's own loopback or link: taken if it can latch from received-from.
        for address in ("127.0.0.1", "169.254.169.254", "::1", "fe80::1"):
            self.refused(address, unusable, flags=["asymmetric"])
        for address in (ADDRESS, SECOND_ADDRESS6, "100.64.0.2", f"64:ff9b::{ADDRESS}"):
            self.refused(address, "is the relay's own")

    def test_policy_of_a_realm(self):
        wire = self.sniff(self.bed.attacker)
        reason = "is no peer of interface 'guests'"
        self.refused(ATTACKER, reason, direction=["guests", "public"])
        self.refused(ATTACKER6, reason, direction=["guests", "public"])
        self.refused(f"64:ff9b::{ATTACKER}", reason, direction=["guests", "public"])
        self.refused("10.1.2.3", reason, direction=["guests", "public"])
        self.refused(CALLER, "is no peer of interface 'core'", direction=["core", "public"])
        # Packets from a denied address are dropped, even if the SDP has an allowed one.
        caller = self.phone(self.bed.caller, CALLER)
        callee = self.phone(self.bed.attacker, ATTACKER, sdp_address=CALLEE)
        call = Call(self.ng, caller, callee, direction=["public", "guests"])
        call.offer()
        call.answer()
        sent, packets = transfer(callee, caller, 10, patience=0.3)
        self.assertEqual((len(sent), packets), (10, []))
        self.assertIn("peer_denied", str(self.ng.statistics()))
        self.assert_silent(wire.receive(0, lambda frame: b"\x80\x00" == frame[42:44]), "RTP sent")

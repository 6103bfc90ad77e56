# SPDX-License-Identifier: BSD-3-Clause
"""Next hops: gateway failover to another MAC, forged gateway claims, absent hosts named in SDP."""

import struct
import time

from smoke import frames
from smoke.bed import CALLER, FAR, Call, RelayCase
from smoke.phone import Traffic, open_path, receive
from smoke.realm_test import (ADDRESS, ATTACKER6, CALLER6, FAR6, GATEWAY, REALMS, RealmBed)
from smoke.relay import SLOWNESS

ALL_NODES = bytes.fromhex("333300000001")


def unsolicited_advertisement(mac, address):
    """A Neighbor Advertisement to all nodes, override flag set (RFC 4861 section 4.4)."""
    own = frames.socket.inet_pton(frames.socket.AF_INET6, address)
    group = frames.socket.inet_pton(frames.socket.AF_INET6, "ff02::1")
    message = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + own + b"\x02\x01" + mac
    total = frames.checksum(own + group + struct.pack("!II", len(message), 58) + message)
    message = message[:2] + struct.pack("!H", total) + message[4:]
    header = struct.pack("!IHBB", 0x60000000, len(message), 58, 255)
    return frames.ethernet(ALL_NODES, mac, 0x86DD, header + own + group + message)


def gratuitous_arp(mac, address):
    return frames.ethernet(frames.BROADCAST, mac, frames.ETH_P_ARP,
                           frames.arp(1, mac, address, bytes(6), address))


class NextHopTest(RelayCase):
    make_bed = RealmBed
    settings = {"interface": REALMS}

    FAMILIES = ((CALLER, FAR), (CALLER6, FAR6))

    def calls_through_the_gateway(self):
        """One call per family between a host on the link and a host behind the gateway."""
        return [self.call(self.ng, self.phone(self.bed.caller, caller),
                          self.phone(self.bed.far, far)) for caller, far in self.FAMILIES]

    def test_gateway_failover_to_another_mac(self):
        with self.bed.wire:
            for name in ("ipv4/conf/bridge0/arp_notify", "ipv6/conf/bridge0/ndisc_notify"):
                with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
                    file.write("1")
        calls = self.calls_through_the_gateway()
        for turn in range(3):
            self.bed.wire.ip(f"link set bridge0 address 02:00:00:00:ff:0{turn}")
            moved = time.monotonic()
            waiting = list(calls)
            while waiting and time.monotonic() < moved + 5 * SLOWNESS:
                waiting = [call for call in waiting
                           if not open_path(call.caller, call.callee, 0.02)]
            took = time.monotonic() - moved
            self.assertFalse(waiting, "no media after the failover")
            self.assertLess(took, 1.0 * SLOWNESS, "until media is back in both families")

    def test_forged_gateway_claims_are_ignored_while_the_gateway_answers(self):
        calls = self.calls_through_the_gateway()
        port = self.sniff(self.bed.attacker)
        with Traffic(calls[0]) as first, Traffic(calls[1]) as second:
            for _ in range(50):
                port.send(gratuitous_arp(port.mac, GATEWAY))
                port.send(unsolicited_advertisement(port.mac, "fe80::1"))
                reply = frames.arp(2, port.mac, GATEWAY, bytes(6), ADDRESS)
                port.send(frames.ethernet(frames.BROADCAST, port.mac, frames.ETH_P_ARP, reply))
                time.sleep(0.02)
            stolen = port.receive(0, lambda f: f[:6] == port.mac and
                                  frames.ethertype(f) in (frames.ETH_P_IP, 0x86DD))
        self.assert_silent(stolen, "frames to the attacker")
        self.assertEqual((first.lost, second.lost), (0, 0))

    def test_new_neighbor_resolves_beside_absent_ones(self):
        """SDP names 1,280 absent hosts of the relay's own network."""
        attacker = self.phone(self.bed.attacker, ATTACKER6)
        absent = iter(range(1, 10000))
        for _ in range(40):
            body = attacker.sdp().split("m=")[0]
            for _ in range(32):
                body += (f"m=audio {attacker.port} RTP/AVP 0\r\n"
                         f"c=IN IP6 2001:db8:a::dead:{next(absent):x}\r\n")
            Call(self.ng, attacker, self.phone(self.bed.callee, "2001:db8:a::20")).offer(body)
        self.bed.callee.ip("address add 2001:db8:a::21/64 dev eth0 nodad")
        caller, new = (self.phone(self.bed.caller, CALLER6),
                       self.phone(self.bed.callee, "2001:db8:a::21"))
        call = Call(self.ng, caller, new)
        call.offer()
        call.answer()
        began = time.monotonic()
        self.assertTrue(open_path(caller, new), "not resolved")
        self.assertLess(time.monotonic() - began, 0.5 * SLOWNESS)
        receive(new.rtp, 0)

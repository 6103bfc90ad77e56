# SPDX-License-Identifier: BSD-3-Clause
"""Minimal host stack: ARP and ICMP echo, for the relay's own addresses only."""

from smoke import frames
from smoke.bed import ATTACKER, Call, Case, RelayCase
from smoke.phone import Traffic
from smoke.relay import ADDRESS, SECOND_ADDRESS


def is_arp(operation, sender):
    """A frame filter: this ARP operation, sent by this address."""
    return lambda frame: (frames.ethertype(frame) == frames.ETH_P_ARP and
                          frame[20:22] == operation.to_bytes(2, "big") and
                          frame[28:32] == frames.socket.inet_aton(sender))


class HostTest(RelayCase):
    def setUp(self):
        super().setUp()
        self.port = self.sniff(self.bed.attacker)

    def who_has(self, address):
        query = frames.arp(1, self.port.mac, ATTACKER, bytes(6), address)
        self.port.send(frames.ethernet(frames.BROADCAST, self.port.mac, frames.ETH_P_ARP, query))
        return self.port.receive(0.5, is_arp(2, address), 1)

    def test_arp_is_answered_for_its_own_addresses_only(self):
        macs = set()
        for address in (ADDRESS, SECOND_ADDRESS):
            [reply] = self.who_has(address)
            self.assertEqual(reply[:6], self.port.mac)
            self.assertEqual(reply[6:12], reply[22:28])
            macs.add(reply[22:28])
        self.assertEqual(len(macs), 1)
        self.assert_silent(self.who_has("198.18.0.4"))

    def test_icmp_echo_is_answered_with_its_payload(self):
        [reply] = self.who_has(ADDRESS)
        payload = bytes(range(200))
        echo = frames.icmp_echo(ATTACKER, ADDRESS, 77, payload)
        self.port.send(frames.ethernet(reply[22:28], self.port.mac, frames.ETH_P_IP, echo))
        [answer] = self.port.receive(1.0, lambda f: frames.ethertype(f) == frames.ETH_P_IP and
                                     f[23] == 1, 1)
        packet = answer[14:14 + 20 + 8 + len(payload)]
        self.assertEqual(packet[20:22], b"\0\0", "an echo reply")
        self.assertEqual(packet[24:26], (77).to_bytes(2, "big"))
        self.assertEqual(packet[28:], payload)
        self.assertEqual(frames.checksum(packet[:20]), 0)
        self.assertEqual(frames.checksum(packet[20:]), 0)

    def test_unwanted_packets_get_no_reply(self):
        """No ICMP error or RST for a closed port, another protocol, a fragment, a bad length."""
        [reply] = self.who_has(ADDRESS)
        closed = frames.udp((ATTACKER, 9), (ADDRESS, 9), b"x" * 50)
        packets = [closed, frames.ipv4(ATTACKER, ADDRESS, 6, bytes(20)),
                   frames.ipv4(ATTACKER, ADDRESS, 17, closed[20:], fragment=0x2000),
                   closed[:24], frames.udp((ADDRESS, 30000), (ADDRESS, 30000), b"land")]
        for packet in packets:
            self.port.send(frames.ethernet(reply[22:28], self.port.mac, frames.ETH_P_IP, packet))
        self.assert_silent(self.port.receive(0.3, lambda f: f[6:12] == reply[22:28]))

    def test_arp_requests_for_an_absent_neighbor_are_rate_limited(self):
        caller, callee = self.phones()
        live = self.call(self.ng)
        call = Call(self.ng, caller, callee)
        call.offer()
        call.answer(callee.sdp(address="198.18.0.99"))  # on-link, owned by no host
        with Traffic(live) as traffic:
            for _ in range(200):
                caller.send()
            asked = self.port.receive(1.5, is_arp(1, caller.to[0]))
        self.assertGreater(len(asked), 0)
        self.assertLess(len(asked), 10)
        self.assertEqual(traffic.lost, 0)


class StartTest(Case):
    def test_gratuitous_arp_at_start(self):
        port = self.sniff(self.bed.attacker)
        relay = self.new_relay().start()
        for address in (ADDRESS, SECOND_ADDRESS):
            sent = port.receive(1.0, lambda f, a=address: is_arp(1, a)(f) or is_arp(2, a)(f), 1)
            self.assertEqual(len(sent), 1, f"gratuitous ARP for {address}")
            self.assertEqual(sent[0][38:42], frames.socket.inet_aton(address))
        relay.check_stop()

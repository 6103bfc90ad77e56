# SPDX-License-Identifier: BSD-3-Clause
"""Hairpin: SDPs that name the relay's own ports join calls inside it; spirals of one request."""

import re
import socket

from smoke import frames
from smoke.bed import ATTACKER, CALLEE, CALLER, FAR, Call, RelayCase
from smoke.ng import Refused
from smoke.phone import receive, transfer
from smoke.realm_test import CALLEE6, CALLER6, REALMS, RealmBed
from smoke.relay import ADDRESS


class HairpinTest(RelayCase):
    make_bed = RealmBed
    settings = {"interface": REALMS}

    def phones(self, families="44"):
        return (self.phone(self.bed.caller, CALLER if families[0] == "4" else CALLER6),
                self.phone(self.bed.callee, CALLEE if families[1] == "4" else CALLEE6))

    def joined(self, caller, callee, mux=False, middle=None):
        """Calls one and two of a B2BUA that passes each SDP on as it is."""
        one, two = Call(self.ng, caller, callee), Call(self.ng, caller, callee)
        to_callee = {"address_family": "IP6" if ":" in callee.address else "IP4"}
        offered = one.offer(caller.sdp(mux=mux), **({"address_family": middle} if middle else {}))
        two.offer(offered, **to_callee)
        one.answer(two.answer(callee.sdp(mux=mux)))
        return one, two

    def assert_media(self, caller, callee, mux=False):
        for sender, receiver in ((caller, callee), (callee, caller)):
            self.assertTrue(receive(receiver.rtp, 0) == [], "nothing before")
            transfer(sender, receiver, 3)  # resolves the next hops
            sent, packets = transfer(sender, receiver, 50)
            self.assert_received(sent, packets, source=receiver.to)
            if mux:
                sent, packets = transfer(sender, receiver, datagrams=[sender.report()])
                self.assert_received(sent, packets, source=receiver.to)
            else:
                report = sender.send_rtcp()
                self.assert_received([report], receive(receiver.rtcp, 2.0, 1),
                                     source=receiver.rtcp_to)

    def packets(self, call):
        """Received RTP packets of all legs."""
        return [media["streams"][0]["stats"]["packets"]
                for tag in call.query()["tags"].values() for media in tag["medias"]]

    def test_each_packet_passes_once_and_on_no_wire(self):
        wire = self.sniff(self.bed.wire, "relay")
        caller, callee = self.phones()
        calls = self.joined(caller, callee)
        self.assert_media(caller, callee)
        for call in calls:
            counts = self.packets(call)
            self.assertEqual(len(counts), 2)
            for count in counts:
                self.assertIn(count, range(50, 54), "each leg has its statistics")
        own = socket.inet_aton(ADDRESS)
        turned = wire.receive(0.2, lambda frame: frames.ethertype(frame) == frames.ETH_P_IP and
                              frame[30:34] == own and frame[26:30] == own)
        self.assert_silent(turned, "packets of the relay to itself")
        self.assertNotIn("hairpin_loop", self.ng.statistics()["workers"][0]["drops"])

    def test_rtcp_mux(self):
        caller, callee = self.phones()
        self.joined(caller, callee, mux=True)
        self.assert_media(caller, callee, mux=True)

    def test_families(self):
        for families, middle in (("44", "IP6"), ("46", "IP4"), ("46", "IP6"), ("66", "IP6"),
                                 ("64", "IP4")):
            with self.subTest(families=families, middle=middle):
                caller, callee = self.phones(families)
                self.joined(caller, callee, middle=middle)
                self.assert_media(caller, callee)

    def spiral(self, caller, callee):
        """Both passes of one INVITE and its 200."""
        call = Call(self.ng, caller, callee)
        call.offer(call.offer())
        call.answer(call.answer())
        return call

    def test_spiral(self):
        caller, callee = self.phones()
        call = self.spiral(caller, callee)
        self.assert_media(caller, callee)
        counts = self.packets(call)
        self.assertEqual(len(counts), 4)
        for count in counts:
            self.assertIn(count, range(50, 54))
        # A re-INVITE of the caller from another port.
        caller.rebind()
        call.offer(call.offer(to_tag=call.to_tag), to_tag=call.to_tag)
        call.answer(call.answer())
        self.assert_open(call)
        self.assert_both_ways(caller, callee)
        used = self.ng.statistics()["ports"]["used"]
        call.delete()
        self.assertEqual(self.ng.statistics()["ports"]["used"], used - 8)
        self.assert_silent(transfer(caller, callee, 5, patience=0.2)[1])

    def test_a_port_of_no_call_is_refused(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        with self.assertRaisesRegex(Refused, "relay's own, and its port [0-9]+ belongs to no call"):
            call.offer(caller.sdp(address=ADDRESS))

    def test_the_end_of_one_call_ends_the_media(self):
        caller, callee = self.phones()
        one, two = self.joined(caller, callee)
        self.assert_media(caller, callee)
        two.delete()
        before = self.packets(one)
        self.assert_silent(transfer(caller, callee, 20, patience=0.3)[1])
        self.assertEqual(max(self.packets(one)), max(before) + 20, "call one still hears A")
        self.assertGreaterEqual(self.ng.statistics()["workers"][0]["drops"]["port_inactive"], 20)

    def test_strangers_gain_nothing(self):
        """A call of an attacker names the victims' port; frames with the relay's own address."""
        caller, callee = self.phones()
        one, two = Call(self.ng, caller, callee), Call(self.ng, caller, callee)
        offered = one.offer()
        two.offer(offered)
        answered = two.answer()
        one.answer(answered)
        inside = [(ADDRESS, int(re.search(r"^m=audio (\d+)", sdp, re.M)[1]))
                  for sdp in (offered, answered)]
        attacker, friend = (self.phone(self.bed.attacker, ATTACKER), self.phone(self.bed.far, FAR))
        for sdp in (offered, answered):
            attack = Call(self.ng, attacker, friend)
            attack.offer()
            attack.answer(sdp)
            for _ in range(20):
                attacker.send()
        port = self.sniff(self.bed.attacker)
        self.assert_media(caller, callee)
        mac = self.sniff(self.bed.relay, "relay0").mac
        for source, to in (inside, inside[::-1]):
            for _ in range(50):
                frame = frames.udp(source, to, attacker.packet())
                port.send(frames.ethernet(mac, port.mac, frames.ETH_P_IP, frame))
        self.assert_silent(receive(caller.rtp, 0.3) + receive(callee.rtp, 0.1), "injected")
        self.assert_silent(receive(attacker.rtp, 0) + receive(friend.rtp, 0), "bled")
        self.assertGreaterEqual(self.ng.statistics()["workers"][0]["drops"]["source_invalid"], 100)
        self.assert_media(caller, callee)

# SPDX-License-Identifier: BSD-3-Clause
"""Latching (RFC 4961, RFC 7362): the party's source is accepted, any other is dropped."""

import random
import time

from smoke.bed import ATTACKER, CALLEE, CALLER, Call, RelayCase
from smoke.frames import is_udp_from
from smoke.phone import open_path, receive, transfer
from smoke.relay import ADDRESS, SECOND_ADDRESS


class LatchTest(RelayCase):
    def test_party_behind_nat_latches_at_its_public_source(self):
        """The SDP has a private address; signalling and media come from the public one."""
        caller = self.phone(self.bed.caller, CALLER, sdp_address="192.168.7.7")
        callee = self.phone(self.bed.callee, CALLEE, sdp_address="10.0.0.9")
        call = Call(self.ng, caller, callee)
        call.offer()
        call.answer()
        caller.rebind()  # the NAT's port is not the one in the SDP
        # A party receives nothing before its first packet has latched.
        caller.send()
        self.assertTrue(open_path(callee, caller), "caller receives nothing")
        self.assertTrue(open_path(caller, callee), "callee receives nothing")
        self.assert_both_ways(caller, callee)

    def test_muted_party_behind_nat_receives_after_a_keepalive(self):
        """Empty datagrams and RTP of an unknown payload type (RFC 6263)."""
        for keepalive in (lambda phone: b"", lambda phone: phone.packet(payload_type=77)):
            caller = self.phone(self.bed.caller, CALLER, sdp_address="192.168.7.7")
            callee = self.phone(self.bed.callee, CALLEE)
            call = Call(self.ng, caller, callee)
            call.offer()
            call.answer()
            caller.rebind()
            caller.send(keepalive(caller))
            self.assertTrue(open_path(callee, caller), "caller receives nothing")
            self.assert_silent(receive(callee.rtp, 0.1), "a keepalive was forwarded")
            self.assertTrue(open_path(caller, callee), "callee receives nothing")
            self.assert_both_ways(caller, callee)

    def test_wrong_source_never_latches(self):
        caller, callee = self.phones()
        thief = self.phone(self.bed.attacker, ATTACKER)
        wire = self.sniff(self.bed.attacker)
        call = Call(self.ng, caller, callee)
        call.offer()
        attacked = [callee.to, callee.rtcp_to]
        self.spray(thief, attacked)
        call.answer()
        attacked += [caller.to, caller.rtcp_to]
        self.spray(thief, attacked)
        self.assert_silent(self.arrived(caller, callee), "before the parties latched")
        self.assert_open(call)
        self.spray(thief, attacked)
        self.assert_silent(self.arrived(caller, callee), "after both latched")
        self.assert_both_ways(caller, callee)
        ours = [is_udp_from(ADDRESS), is_udp_from(SECOND_ADDRESS)]
        leaked = wire.receive(0.1, lambda frame: any(test(frame) for test in ours))
        self.assert_silent(leaked, "sent to the attacker")
        totals = call.query()["totals"]
        self.assertGreaterEqual(totals["RTP"]["errors"], 10, "drops are counted")
        self.assertGreaterEqual(totals["RTCP"]["errors"], 10, "drops are counted")

    @staticmethod
    def spray(thief, targets, count=10):
        for _ in range(count):
            for target in targets:
                thief.rtp.sendto(thief.packet(), target)
                thief.rtp.sendto(thief.report(), target)

    @staticmethod
    def arrived(*phones):
        return [packet for phone in phones for packet in
                receive(phone.rtp, 0.1) + receive(phone.rtcp, 0)]

    def test_rebind_relatches_within_250_ms(self):
        call = self.call(self.ng)
        caller, callee = call.caller, call.callee
        transfer(caller, callee, 10)
        caller.rebind()
        moved = time.monotonic()
        while not transfer(caller, callee, 1, patience=0.02)[1]:
            self.assertLess(time.monotonic() - moved, 2, "the new port never latches")
        recovered = time.monotonic() - moved
        self.assertLess(recovered, 0.25)
        self.assert_both_ways(callee, caller)

    def test_asymmetric_party_is_sent_to_where_it_receives(self):
        """A party that sends from another port than the one in its SDP."""
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee, flags=["asymmetric"])
        call.offer()
        call.answer()
        sender = self.phone(self.bed.caller, CALLER)
        sender.to = caller.to
        self.assertTrue(open_path(sender, callee), "callee receives nothing")
        self.assert_received(*transfer(sender, callee), source=callee.to)
        self.assert_received(*transfer(callee, caller), source=caller.to)
        self.assert_silent(receive(sender.rtp, 0.05))

    def test_strict_source_does_not_follow_a_rebinding(self):
        call = self.call(self.ng, flags=["strict-source"])
        transfer(call.caller, call.callee, 10)
        call.caller.rebind()
        time.sleep(0.2)
        _, packets = transfer(call.caller, call.callee, 20, patience=0.1)
        self.assert_silent(packets)

    def test_reinvite_of_a_silent_phone_opens_its_latch(self):
        """A phone that goes on from another port with another stream, with the same SDP."""
        call = self.call(self.ng)
        same = call.caller.sdp()
        self.restart(call.caller)
        time.sleep(0.2)
        call.offer(same)
        call.answer()
        self.assertTrue(open_path(call.caller, call.callee), "callee receives nothing")
        self.assert_both_ways(call.caller, call.callee)

    @staticmethod
    def restart(phone):
        phone.rebind()
        phone.ssrc, phone.sequence = random.getrandbits(32), random.getrandbits(15)

    def test_attacker_behind_the_same_nat_gains_nothing(self):
        """It sprays while the victim talks, pauses for 3 s and rebinds."""
        call = self.call(self.ng)
        caller, callee = call.caller, call.callee
        thief = self.phone(self.bed.caller, CALLER)
        thief.to, thief.rtcp_to = caller.to, caller.rtcp_to
        sent, got = [], []

        def attack(seconds, talks):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for data in (thief.packet(), thief.packet(), thief.packet(payload_type=77), b""):
                    thief.send(data)
                thief.send_rtcp()
                if talks:
                    sent.append(caller.send())
                callee.send()
                got.extend(receive(callee.rtp, 0.01))

        attack(1, talks=True)
        attack(3, talks=False)
        caller.rebind()
        attack(1, talks=True)
        got += receive(callee.rtp, 0.2)
        self.assertLessEqual({packet.data for packet in got}, set(sent), "injected")
        self.assertEqual(len(got), len(sent), "lost")
        self.assert_silent(receive(thief.rtp, 0) + receive(thief.rtcp, 0), "bled")

    def test_other_stream_from_the_same_address_does_not_relatch(self):
        """Carrier-grade NAT: the attacker shares the caller's address, not its SSRC."""
        call = self.call(self.ng)
        stranger = self.phone(self.bed.caller, CALLER)
        stranger.to = call.caller.to
        transfer(call.caller, call.callee, 10)
        for _ in range(300):
            stranger.ssrc, stranger.sequence = random.getrandbits(32), random.getrandbits(16)
            stranger.send()
        _, packets = transfer(stranger, call.callee, 200, patience=0.1)
        self.assert_silent(packets)
        self.assert_received(*transfer(call.callee, call.caller))
        self.assert_silent(receive(stranger.rtp, 0.05))
        self.assert_received(*transfer(call.caller, call.callee))

    def test_malformed_packets_are_dropped_and_never_latch(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        call.offer()
        call.answer()
        whole = caller.packet(bytes(20))
        broken = [whole[:length] for length in range(0, 12)]             # header cut off
        broken += [bytes([0x8F]) + whole[1:30]]                          # 15 CSRCs: too many
        broken += [bytes([0x90]) + whole[1:12] + b"\0\0\xff\xff"]        # extension too long
        broken += [bytes([0xA0]) + whole[1:-1] + b"\xff"]                # padding too long
        broken += [bytes([first]) + whole[1:] for first in (0xC0, 0xFF)]  # version 3
        reports = [caller.report()[:length] for length in range(1, 8)]
        for _ in ("unlatched", "latched"):
            other = self.phone(self.bed.caller, CALLER)  # a hinted address, another port
            other.connect(f"c=IN IP4 {caller.to[0]}\r\nm=audio {caller.to[1]} RTP/AVP 0\r\n")
            for phone in (caller, other):
                _, packets = transfer(phone, callee, patience=0.1, datagrams=broken)
                self.assert_silent(packets)
                for report in reports:
                    phone.send_rtcp(report)
                self.assert_silent(receive(callee.rtcp, 0.1))
            self.assert_open(call)
            self.assert_received(*transfer(callee, caller), source=caller.to)
            self.assert_silent(receive(other.rtp, 0.05))

    def test_reoffer_with_a_new_address_moves_the_media(self):
        call = self.call(self.ng)
        new = self.phone(self.bed.far, "203.0.113.20")
        moved = Call(self.ng, new, call.callee)
        moved.call_id, moved.from_tag, moved.to_tag = call.call_id, call.from_tag, call.to_tag
        moved.offer()
        moved.answer()
        self.assert_open(moved)
        self.assert_received(*transfer(call.callee, new), source=new.to)
        receive(call.caller.rtp, 0)
        _, packets = transfer(call.caller, call.callee, patience=0.1)
        self.assert_silent(packets, "the old address is still relayed")
        self.assert_silent(receive(call.caller.rtp, 0.05))


class RelatchTest(RelayCase):
    settings = {"interface": {"relatch_after": 1}}

    def test_phone_that_goes_on_from_another_port_latches_after_silence(self):
        call = self.call(self.ng)
        LatchTest.restart(call.caller)
        _, packets = transfer(call.caller, call.callee, 20, patience=0.1)
        self.assert_silent(packets, "not silent long enough")
        time.sleep(1)
        self.assertTrue(open_path(call.caller, call.callee), "callee receives nothing")
        self.assert_both_ways(call.caller, call.callee)

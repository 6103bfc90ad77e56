# SPDX-License-Identifier: BSD-3-Clause
"""Media between two parties through the whole life of a call."""

import os
import struct
import time

from smoke.bed import CALLEE, CALLER, FAR, Call, RelayCase
from smoke.phone import Traffic, open_path, receive, transfer
from smoke.relay import ADDRESS, SECOND_ADDRESS

STUN_BINDING = struct.pack("!HHI", 0x0001, 0, 0x2112A442) + os.urandom(12)


class RelayTest(RelayCase):
    def test_media_passes_both_ways_unchanged(self):
        call = self.call(self.ng)
        for sender, receiver in ((call.caller, call.callee), (call.callee, call.caller)):
            sent, packets = transfer(sender, receiver, 100)
            # Symmetric RTP (RFC 4961): packets come from the port that the receiver sends to.
            self.assert_received(sent, packets, source=receiver.to)

    def test_rtcp_passes_on_its_own_ports(self):
        call = self.call(self.ng)
        for sender, receiver in ((call.caller, call.callee), (call.callee, call.caller)):
            report = sender.send_rtcp()
            packets = receive(receiver.rtcp, 2.0, 1)
            self.assert_received([report], packets, source=receiver.rtcp_to)
        self.assert_silent(receive(call.caller.rtp, 0) + receive(call.callee.rtp, 0))

    def test_rtcp_multiplexed_on_the_rtp_port(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        call.offer(caller.sdp(mux=True))
        answer = call.answer(callee.sdp(mux=True))
        self.assertIn("a=rtcp-mux", answer)
        self.assert_open(call)
        sent, packets = transfer(caller, callee, datagrams=[caller.report()])
        self.assert_received(sent, packets, source=callee.to)
        sent, packets = transfer(callee, caller, datagrams=[callee.packet(), callee.report()])
        self.assert_received(sent, packets, source=caller.to)

    def assert_rtcp_split(self, call, muxed, apart):
        """`muxed` has RTP and RTCP on one port, `apart` on two."""
        self.assert_open(call)
        self.assert_both_ways(muxed, apart)
        reports = [muxed.report()]
        muxed.send(reports[0])
        self.assert_received(reports, receive(apart.rtcp, 2.0, 1), source=apart.rtcp_to)
        reports = [apart.send_rtcp()]
        self.assert_received(reports, receive(muxed.rtp, 2.0, 1), source=muxed.to)
        self.assert_silent(receive(muxed.rtcp, 0.05) + receive(apart.rtp, 0))
        # A NAT rebinding moves RTP and RTCP together.
        muxed.rebind()
        time.sleep(0.15)  # a rebind needs silence of the old source for 100 ms
        self.assertTrue(open_path(muxed, apart), "the new port never latches")
        reports = [apart.send_rtcp()]
        self.assert_received(reports, receive(muxed.rtp, 2.0, 1), source=muxed.to)

    def test_rtcp_demux_for_a_party_without_rtcp_mux(self):
        for word in ("demux", "accept"):
            with self.subTest(word):
                caller, callee = self.phones()
                call = Call(self.ng, caller, callee, rtcp_mux=[word])
                offered = call.offer(caller.sdp(mux=True))
                self.assertEqual("a=rtcp-mux" in offered, word == "accept")
                self.assertIn("a=rtcp-mux", call.answer(callee.sdp()))
                self.assert_rtcp_split(call, caller, callee)
                tags = call.query()["tags"]
                streams = [tags[tag]["medias"][0]["streams"]
                           for tag in (call.from_tag, call.to_tag)]
                self.assertEqual([len(each) for each in streams], [1, 2])

    def test_rtcp_mux_required_of_the_callee(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee, rtcp_mux=["require"])
        self.assertIn("a=rtcp-mux", call.offer(caller.sdp()))
        self.assertNotIn("a=rtcp-mux", call.answer(callee.sdp(mux=True)))
        self.assert_rtcp_split(call, callee, caller)

    def test_stun_checks_sent_before_the_answer_arrive_after_it(self):
        call = self.call(self.ng)  # resolves all next hops
        call.delete()
        caller, callee = call.caller, call.callee
        call = Call(self.ng, caller, callee)
        call.offer()
        # The relay's port for the caller, which the caller learns from the answer only.
        stream = call.query()["tags"][call.from_tag]["medias"][0]["streams"][0]
        caller.to = stream["local address"], stream["local port"]
        callee.drain()
        checks = [STUN_BINDING[:-1] + bytes([number]) for number in (7, 3)]
        for check in checks:
            caller.send(check)
        self.assert_silent(receive(callee.rtp, 0.05))
        call.answer()
        packets = receive(callee.rtp, 1.0, 2) + receive(callee.rtp, 0.05)
        self.assertEqual([packet.data for packet in packets], checks)
        self.assertEqual({packet.source for packet in packets}, {callee.to})

    def test_peer_behind_the_gateway(self):
        caller = self.phone(self.bed.caller, CALLER)
        call = self.call(self.ng, caller, self.phone(self.bed.far, FAR))
        for sender, receiver in ((call.caller, call.callee), (call.callee, call.caller)):
            sent, packets = transfer(sender, receiver, 20)
            self.assert_received(sent, packets, source=receiver.to)

    def test_every_media_address_relays(self):
        open_calls = {}
        for _ in range(16):
            call = self.call(self.ng)
            open_calls[call.caller.to[0]] = call
            if len(open_calls) == 2:
                break
        self.assertEqual(set(open_calls), {ADDRESS, SECOND_ADDRESS})

    def test_hold_by_zero_address_and_resume(self):
        call = self.call(self.ng)
        before = call.callee.to
        call.offer(call.caller.sdp("sendonly", address="0.0.0.0"))
        call.answer(call.callee.sdp("recvonly"))
        sent, packets = transfer(call.caller, call.callee)  # music on hold
        self.assert_received(sent, packets)
        _, packets = transfer(call.callee, call.caller, patience=0.2)
        self.assert_silent(packets, "media relayed to a party on hold")
        call.offer()
        call.answer()
        self.assertEqual(call.callee.to, before, "resumed on another port")
        for sender, receiver in ((call.caller, call.callee), (call.callee, call.caller)):
            self.assert_received(*transfer(sender, receiver))

    def test_hold_by_direction_and_resume(self):
        call = self.call(self.ng)
        before = call.callee.to, call.caller.to
        self.assertIn("a=sendonly", call.offer(call.caller.sdp("sendonly")))
        self.assertIn("a=recvonly", call.answer(call.callee.sdp("recvonly")))
        self.assert_received(*transfer(call.caller, call.callee))
        call.offer()
        call.answer()
        self.assertEqual((call.callee.to, call.caller.to), before)
        self.assert_received(*transfer(call.callee, call.caller))

    def test_reoffer_keeps_ports_and_latch(self):
        call = self.call(self.ng)
        ports = call.callee.to, call.callee.rtcp_to, call.caller.to, call.caller.rtcp_to
        with Traffic(call) as traffic:
            for _ in range(20):
                call.offer()
                call.answer()
                now = call.callee.to, call.callee.rtcp_to, call.caller.to, call.caller.rtcp_to
                self.assertEqual(now, ports)
                time.sleep(0.02)
        self.assertEqual(traffic.lost, 0)

    def test_reoffer_from_the_callee(self):
        call = self.call(self.ng)
        reverse = Call(self.ng, call.callee, call.caller)
        reverse.call_id = call.call_id
        reverse.from_tag, reverse.to_tag = call.to_tag, call.from_tag
        ports = call.caller.to, call.callee.to
        with Traffic(call) as traffic:
            reverse.offer()
            reverse.answer()
        self.assertEqual((call.caller.to, call.callee.to), ports)
        self.assertEqual(traffic.lost, 0)

    def test_repeated_offer_is_idempotent(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        used = self.ports_used()
        first = call.offer()
        taken = self.ports_used() - used
        self.assertEqual({call.offer() for _ in range(5)}, {first})
        self.assertEqual(self.ports_used() - used, taken)
        call.delete()
        self.assertEqual(self.ports_used(), used)

    def ports_used(self):
        return self.ng.command("statistics")["statistics"]["ports"]["used"]

    def test_delete_stops_media(self):
        call = self.call(self.ng)
        call.delete()
        for sender, receiver in ((call.caller, call.callee), (call.callee, call.caller)):
            _, packets = transfer(sender, receiver, patience=0.2)
            self.assert_silent(packets)
            sender.send_rtcp()
            self.assert_silent(receive(receiver.rtcp, 0.1))
        self.assertNotIn(call.call_id, self.ng.command("list", limit=1000)["calls"])

    def test_delete_delay_keeps_media_flowing(self):
        call = self.call(self.ng)
        call.delete(delete_delay=1)
        start = time.monotonic()
        self.assert_received(*transfer(call.caller, call.callee))
        self.assertLess(time.monotonic() - start, 1, "took longer than the delay")
        while transfer(call.caller, call.callee, 1, patience=0.1)[1]:
            self.assertLess(time.monotonic() - start, 5, "media still flows")
        self.assertGreater(time.monotonic() - start, 0.9)

    def test_fax_datagrams_pass(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        self.assertRegex(call.offer(caller.sdp(media="image PORT udptl t38")),
                         r"m=image \d+ udptl t38\r\n")
        call.answer(callee.sdp(media="image PORT udptl t38"))
        datagrams = [bytes([0, n]) + os.urandom(n) for n in range(1, 60)]
        for sender, receiver in ((caller, callee), (callee, caller)):
            self.assertTrue(open_path(sender, receiver, datagram=b"\x00\x00\x06"))
            sent, packets = transfer(sender, receiver, datagrams=datagrams)
            self.assert_received(sent, packets, source=receiver.to)

    def test_stun_passes_on_the_rtp_port(self):
        call = self.call(self.ng)
        sent, packets = transfer(call.caller, call.callee,
                                 datagrams=[STUN_BINDING, call.caller.packet()])
        self.assert_received(sent, packets, source=call.callee.to)

    def test_two_streams_of_one_call(self):
        caller, callee = self.phones()
        video = self.phone(self.bed.caller, CALLER), self.phone(self.bed.callee, CALLEE)
        call = Call(self.ng, caller, callee)
        offer = call.offer(caller.sdp() + f"m=video {video[0].port} RTP/AVP 96\r\n"
                                          "a=rtpmap:96 H264/90000\r\n")
        answer = call.answer(callee.sdp() + f"m=video {video[1].port} RTP/AVP 96\r\n"
                                            "a=rtpmap:96 H264/90000\r\n")
        for phone, sdp in ((video[1], offer), (video[0], answer)):
            session, _, stream = sdp.partition("m=video")
            # endpoints() takes the first c= line: the section's own or the session's.
            phone.connect("m=video" + stream + session)
        self.assert_open(call)
        frames = [video[0].packet(payload_type=96) for _ in range(20)]
        self.assertTrue(open_path(video[0], video[1], datagram=video[0].packet(payload_type=96)))
        self.assert_received(*transfer(video[0], video[1], datagrams=frames), source=video[1].to)
        self.assert_silent(receive(callee.rtp, 0))

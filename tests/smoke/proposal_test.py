# SPDX-License-Identifier: BSD-3-Clause
"""An offer is a proposal: media stays where the last answered exchange put it until the answer.

The relay never hears of a refusal (488): the proxy sends nothing.
"""

import re
import time

from smoke.bed import CALLEE, CALLER, RelayCase
from smoke.media_test import arrives
from smoke.ng import Refused
from smoke.phone import open_path, receive, transfer

T38 = "image PORT udptl t38"


def video(phone, port=None):
    """An audio and a video section; the video socket is the phone's next one."""
    return f"audio PORT RTP/AVP 0\r\nm=video {port or phone.port + 2} RTP/AVP 96"


class ProposalTest(RelayCase):
    def started(self):
        call = self.call(self.ng)
        for phone in (call.callee, call.caller):
            phone.send_rtcp()  # latches RTCP
        receive(call.callee.rtcp, 1, 1)
        call.caller.drain()
        call.callee.drain()
        return call

    def reoffer(self, call, sdp, by_callee=False):
        """An offer in the dialog, without its answer; returns the SDP for the other party."""
        tags = (call.to_tag, call.from_tag) if by_callee else (call.from_tag, call.to_tag)
        return self.ng.command("offer", call_id=call.call_id, from_tag=tags[0], to_tag=tags[1],
                               sdp=sdp)["sdp"]

    def assert_in_force(self, call, what):
        """20 of 20 packets and RTCP both ways, with the ports of the answered exchange."""
        caller, callee = call.caller, call.callee
        with self.subTest(what):
            self.assert_both_ways(caller, callee)
            for sender, receiver in ((caller, callee), (callee, caller)):
                self.assertTrue(arrives(receiver.rtcp, sender.send_rtcp()), "RTCP")

    def test_refused_offers_leave_media_where_it_is(self):
        call = self.started()
        caller, callee = call.caller, call.callee
        used = self.ng.statistics()["ports"]["used"]
        moved = re.sub(f"m=audio {caller.port}", "m=audio 4100", caller.sdp())
        refused = {
            "a new port": moved,
            "a moved address": caller.sdp(address="198.18.0.77"),
            "a hold by 0.0.0.0": caller.sdp(address="0.0.0.0"),
            "a hold by direction": caller.sdp(direction="inactive"),
            "T.38 on the same port": caller.sdp(media=T38),
            "T.38 on another port": caller.sdp(media="image 4200 udptl t38"),
            "no audio": caller.sdp(media="audio 0 RTP/AVP 0"),
            "video": caller.sdp(media=video(caller)),
            "other payload types": caller.sdp(media="audio PORT RTP/AVP 18"),
            "nothing new": caller.sdp(),
        }
        for what, sdp in refused.items():
            self.reoffer(call, sdp)
            self.assert_in_force(call, what)
        self.reoffer(call, callee.sdp(media="audio 5100 RTP/AVP 0"), by_callee=True)
        self.assert_in_force(call, "a new port of the callee")
        self.assertEqual(self.ng.statistics()["ports"]["used"], used)
        # One m= line after a refused second one, of either party.
        self.reoffer(call, caller.sdp(media=video(caller)))
        self.reoffer(call, callee.sdp(), by_callee=True)
        self.ng.command("answer", call_id=call.call_id, from_tag=call.to_tag,
                        to_tag=call.from_tag, sdp=caller.sdp())
        self.assert_in_force(call, "an accepted refresh")
        self.assertEqual(self.ng.statistics()["ports"]["used"], used)

    def test_accepted_offer_moves_media(self):
        call = self.started()
        caller, callee = call.caller, call.callee
        moved = self.phone(self.bed.caller, CALLER)
        self.reoffer(call, moved.sdp())
        self.assert_received(*transfer(callee, caller), source=caller.to)
        call.answer()
        moved.to, moved.rtcp_to = caller.to, caller.rtcp_to
        # Before anything comes from the new port: its SDP says where to send.
        self.assert_received(*transfer(callee, moved))
        self.assert_silent(receive(caller.rtp, 0.05), "at the old port")
        self.assert_both_ways(moved, callee)

    def test_media_follows_a_source_at_the_proposed_port(self):
        call = self.started()
        caller, callee = call.caller, call.callee
        moved = self.phone(self.bed.caller, CALLER)
        moved.to, moved.rtcp_to = caller.to, caller.rtcp_to
        self.reoffer(call, moved.sdp())
        self.assert_received(*transfer(caller, callee))
        self.assert_received(*transfer(moved, callee))
        self.assert_received(*transfer(callee, moved))
        # It is refused: the phone goes on at its old port.
        self.assert_received(*transfer(caller, callee))
        self.assert_received(*transfer(callee, caller))
        self.assert_received(*transfer(moved, callee))
        self.reoffer(call, caller.sdp())
        self.assert_received(*transfer(callee, caller))
        _, got = transfer(moved, callee, 5, patience=0.1)
        self.assert_silent(got, "from a port that nothing proposes")

    def test_stranger_at_the_same_nat_gains_nothing_while_the_party_talks(self):
        call = self.started()
        caller, callee = call.caller, call.callee
        stranger = self.phone(self.bed.caller, CALLER)
        stranger.to = caller.to
        self.reoffer(call, re.sub(f"m=audio {caller.port}", "m=audio 4100", caller.sdp()))
        for _ in range(50):
            stranger.send()
            self.assert_received(*transfer(caller, callee, 1))
            self.assert_received(*transfer(callee, caller, 1))
        self.assert_silent(receive(stranger.rtp, 0.05))

    def test_line_of_another_type_takes_no_packets_of_the_former(self):
        caller, callee = self.phones()
        caller_video = self.phone(self.bed.caller, CALLER)
        callee_video = self.phone(self.bed.callee, CALLEE)
        offer = caller.sdp(media=f"audio PORT RTP/AVP 0\r\nm=video {caller_video.port} RTP/AVP 96")
        answer = callee.sdp(media=f"audio PORT RTP/AVP 0\r\nm=video {callee_video.port} RTP/AVP 96")
        keys = {"call_id": f"retyped-{time.time()}", "from_tag": "a"}

        def second(sdp):
            address = re.search(r"^c=IN IP4 (\S+)", sdp, re.M)[1]
            return address, int(re.findall(r"^m=\w+ (\d+)", sdp, re.M)[1])

        callee_video.to = second(self.ng.command("offer", sdp=offer, **keys)["sdp"])
        caller_video.to = second(self.ng.command("answer", sdp=answer, to_tag="b", **keys)["sdp"])

        def send_video(sender, receiver, patience=2.0):
            return transfer(sender, receiver, patience=patience,
                            datagrams=[sender.packet(payload_type=96) for _ in range(20)])

        for sender, receiver in ((caller_video, callee_video), (callee_video, caller_video)):
            self.assertTrue(open_path(sender, receiver, datagram=sender.packet(payload_type=96)))
        other = self.phone(self.bed.caller, CALLER)
        changed = caller.sdp(media=f"audio PORT RTP/AVP 0\r\nm=audio {other.port} RTP/AVP 0")
        self.ng.command("offer", sdp=changed, to_tag="b", **keys)
        self.assert_received(*send_video(callee_video, caller_video))
        self.assert_silent(receive(other.rtp, 0.05), "video at the audio port")
        self.ng.command("answer", to_tag="b", sdp=callee.sdp(
            media=f"audio PORT RTP/AVP 0\r\nm=audio {callee_video.port} RTP/AVP 0"), **keys)
        _, got = send_video(callee_video, caller_video, patience=0.1)
        self.assert_silent(got, "video at its former port")
        self.assert_silent(receive(other.rtp, 0.05), "video at the audio port")
        other.to = caller_video.to
        self.assert_received(*transfer(callee_video, other))
        self.assertTrue(open_path(other, callee_video))

    def test_answer_with_fewer_lines_rejects_the_rest(self):
        caller, callee = self.phones()
        used = self.ng.statistics()["ports"]["used"]
        keys = {"call_id": f"fewer-{time.time()}", "from_tag": "a"}
        self.ng.command("offer", sdp=caller.sdp(media=video(caller)), **keys)
        reply = self.ng.command("answer", to_tag="b", sdp=callee.sdp(), **keys)
        self.assertIn("1 of 2 m= lines", reply["warning"])
        self.assertEqual(self.ng.statistics()["ports"]["used"], used + 4)
        with self.assertRaises(Refused):
            self.ng.command("offer", to_tag="b", sdp=caller.sdp(), **keys)

# SPDX-License-Identifier: BSD-3-Clause
"""Bundled media sections (RFC 9143), with and without a peer that bundles."""

from smoke.bed import Call, RelayCase
from smoke.phone import endpoints, open_path, transfer

VIDEO = 96
SECTIONS = ("audio PORT RTP/AVP 0\r\na=mid:a\r\n"
            f"m=video PORT RTP/AVP {VIDEO}\r\na=rtpmap:{VIDEO} VP8/90000\r\na=mid:v")


def bundled(phone):
    """An SDP with audio and video on the phone's one port."""
    return phone.sdp(media=SECTIONS).replace("t=0 0", "t=0 0\r\na=group:BUNDLE a v")


class BundleTest(RelayCase):
    def assert_audio_and_video(self, sender, receiver):
        packets = [sender.packet(payload_type=kind) for kind in (VIDEO, 0) * 20]
        self.assert_received(*transfer(sender, receiver, datagrams=packets), source=receiver.to)

    def test_bundled_streams_share_the_first_port(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        offered = call.offer(bundled(caller))
        answered = call.answer(bundled(callee))
        for sdp in (offered, answered):
            self.assertIn("a=group:BUNDLE a v\r\n", sdp)
            self.assertNotEqual(endpoints(sdp), endpoints(sdp.replace("m=audio", "x=audio")))
        # The first packet of either stream latches.
        for sender, receiver in ((caller, callee), (callee, caller)):
            self.assertTrue(open_path(sender, receiver,
                                      datagram=sender.packet(payload_type=VIDEO)))
        for sender, receiver in ((caller, callee), (callee, caller)):
            receiver.drain()
            self.assert_audio_and_video(sender, receiver)
        call.delete()

    def test_rejected_bundle_gets_a_port_per_stream(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        offered = call.offer(bundled(caller), bundle=["reject"])
        self.assertNotIn("BUNDLE", offered)
        answered = call.answer(callee.sdp(media=SECTIONS))
        self.assert_open(call)
        # Both parties send video to the port of the video section.
        for phone, sdp in ((callee, offered), (caller, answered)):
            phone.connect(sdp.replace("m=audio", "x=audio"))
        for sender, receiver in ((caller, callee), (callee, caller)):
            self.assertTrue(open_path(sender, receiver,
                                      datagram=sender.packet(payload_type=VIDEO)))
        call.delete()

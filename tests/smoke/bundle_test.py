# SPDX-License-Identifier: BSD-3-Clause
"""Parties that bundle their medias (RFC 9143), or whose peer does not."""

from smoke.bed import Call, RelayCase
from smoke.phone import endpoints, heard, open_path

VIDEO = 96
MEDIAS = ("audio PORT RTP/AVP 0\r\na=mid:a\r\n"
          f"m=video PORT RTP/AVP {VIDEO}\r\na=rtpmap:{VIDEO} VP8/90000\r\na=mid:v")


def bundled(phone):
    """An SDP with audio and video on the phone's one port."""
    return phone.sdp(media=MEDIAS).replace("t=0 0", "t=0 0\r\na=group:BUNDLE a v")


class BundleTest(RelayCase):
    def assert_audio_and_video(self, sender, receiver):
        packets = [sender.packet(payload_type=kind) for kind in (VIDEO, 0) * 20]
        self.assert_heard(*heard(sender, receiver, datagrams=packets), source=receiver.to)

    def test_all_media_passes_by_the_first_medias_port(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        offered = call.offer(bundled(caller))
        answered = call.answer(bundled(callee))
        for sdp in (offered, answered):
            self.assertIn("a=group:BUNDLE a v\r\n", sdp)
            self.assertNotEqual(endpoints(sdp), endpoints(sdp.replace("m=audio", "x=audio")))
        # Whatever comes first latches.
        for sender, receiver in ((caller, callee), (callee, caller)):
            self.assertTrue(open_path(sender, receiver,
                                      datagram=sender.packet(payload_type=VIDEO)))
        for sender, receiver in ((caller, callee), (callee, caller)):
            receiver.drain()
            self.assert_audio_and_video(sender, receiver)
        call.delete()

    def test_without_the_group_each_media_has_its_own_port(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        offered = call.offer(bundled(caller), bundle=["reject"])
        self.assertNotIn("BUNDLE", offered)
        answered = call.answer(callee.sdp(media=MEDIAS))
        self.assert_open(call)
        # The video of both, each to its own port.
        for phone, sdp in ((callee, offered), (caller, answered)):
            phone.connect(sdp.replace("m=audio", "x=audio"))
        for sender, receiver in ((caller, callee), (callee, caller)):
            self.assertTrue(open_path(sender, receiver,
                                      datagram=sender.packet(payload_type=VIDEO)))
        call.delete()

# SPDX-License-Identifier: BSD-3-Clause
"""Trickle ICE: candidates sent after the SDP (RFC 8840)."""

from smoke.bed import RelayCase
from smoke.phone import open_path

ICE = ("a=mid:0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
       "a=ice-options:trickle\r\n")


class TrickleTest(RelayCase):
    def test_trickled_candidate_allows_its_address_to_latch(self):
        caller, callee = self.phones()
        tags = {"call_id": self.id(), "from_tag": "a"}
        offered = self.ng.command("offer", sdp=caller.sdp(address="0.0.0.0") +
                                  ICE.format(ufrag="caller"), **tags)
        callee.connect(offered["sdp"])
        answered = self.ng.command("answer", to_tag="b", sdp=callee.sdp() +
                                   ICE.format(ufrag="callee"), **tags)
        caller.connect(answered["sdp"])
        self.assertFalse(open_path(caller, callee, 0.5), "latched an unsignalled address")
        fragment = ("a=ice-ufrag:caller\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
                    "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 UDP 2130706431 "
                    f"{caller.address} {caller.port} typ host\r\na=end-of-candidates\r\n")
        reply = self.ng.command("offer", sdp=fragment, flags=["fragment"], **tags)
        self.assertEqual(reply, {"result": "ok"})
        self.assertTrue(open_path(caller, callee), "callee receives nothing")
        self.assertTrue(open_path(callee, caller), "caller receives nothing")
        self.assert_both_ways(caller, callee)
        self.ng.command("delete", **tags)

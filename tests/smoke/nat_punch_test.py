# SPDX-License-Identifier: BSD-3-Clause
"""The flag `pierce-NAT`: the relay speaks first, so that it can be spoken to."""

import struct
import subprocess

from smoke.bed import CALLER, FAR, Call, RelayCase
from smoke.phone import open_path, receive

REPORT = struct.pack("!BBHI", 0x80, 201, 1, 0)  # about nobody
# A firewall on the way to the far network: in from there comes only what answers something.
FIREWALL = """
table ip smoke {
    chain forward {
        type filter hook forward priority filter
        iifname "far" ct state new drop
    }
}
"""


def header(sequence):
    """RTP of type 127 without payload."""
    return struct.pack("!BBHII", 0x80, 127, sequence, 0, 0)


class PierceTest(RelayCase):
    def test_who_has_not_spoken_hears_the_relay_and_then_no_more(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        call.offer(flags=["pierce-NAT"])
        packets = receive(caller.rtp, 3.0, 3)
        reports = receive(caller.rtcp, 3.0, 3)
        call.answer()
        # The first one may have waited for ARP, in vain.
        first = struct.unpack_from("!H", packets[0].data, 2)[0]
        self.assertLessEqual(first, 1)
        self.assertEqual([packet.data for packet in packets],
                         [header(number) for number in range(first, first + 3)])
        self.assertEqual({packet.source for packet in packets}, {caller.to})
        self.assertEqual([packet.data for packet in reports], [REPORT] * 3)
        self.assertEqual({packet.source for packet in reports}, {caller.rtcp_to})
        [stream, _] = call.query()["tags"][call.from_tag]["medias"][0]["streams"]
        self.assertIn("pierce NAT", stream["flags"])

        self.assertTrue(open_path(caller, callee), "callee hears nothing")
        caller.drain()
        self.assert_silent(receive(caller.rtp, 1.5), "heard, and yet sent packets")
        self.assert_silent(receive(caller.rtcp, 0), "heard, and yet sent reports")
        self.assert_silent(receive(callee.rtcp, 0), "nobody asked for it")
        [stream, _] = call.query()["tags"][call.from_tag]["medias"][0]["streams"]
        self.assertNotIn("pierce NAT", stream["flags"])
        self.assert_both_ways(caller, callee)
        [worker] = self.ng.command("statistics")["statistics"]["workers"]
        self.assertGreaterEqual(worker["pierced"], 6)

    def test_through_a_firewall_that_lets_answers_in_only(self):
        with self.bed.wire:
            subprocess.run(["nft", "-f", "-"], input=FIREWALL, text=True, check=True)
        for flags, heard in ([], False), (["pierce-NAT"], True):
            caller, callee = self.phone(self.bed.caller, CALLER), self.phone(self.bed.far, FAR)
            call = Call(self.ng, caller, callee)
            call.offer()
            call.answer(flags=flags)
            self.assertEqual(open_path(callee, caller, 3.0 if heard else 0.5), heard, flags)
            call.delete()

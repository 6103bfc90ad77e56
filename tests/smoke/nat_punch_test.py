# SPDX-License-Identifier: BSD-3-Clause
"""NAT punching (flag `pierce-NAT`): the relay sends first, which opens the party's NAT."""

import struct
import subprocess

from smoke.bed import CALLER, FAR, Call, RelayCase
from smoke.phone import open_path, receive

REPORT = struct.pack("!BBHI", 0x80, 201, 1, 0)  # an empty receiver report
# A stateful firewall before the far network: inbound packets need an outbound one first.
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


class NatPunchTest(RelayCase):
    def test_punch_packets_stop_when_the_party_latches(self):
        caller, callee = self.phones()
        call = Call(self.ng, caller, callee)
        call.offer(flags=["pierce-NAT"])
        packets = receive(caller.rtp, 3.0, 3)
        reports = receive(caller.rtcp, 3.0, 3)
        call.answer()
        # The first packet may have been dropped while ARP was unresolved.
        first = struct.unpack_from("!H", packets[0].data, 2)[0]
        self.assertLessEqual(first, 1)
        self.assertEqual([packet.data for packet in packets],
                         [header(number) for number in range(first, first + 3)])
        self.assertEqual({packet.source for packet in packets}, {caller.to})
        self.assertEqual([packet.data for packet in reports], [REPORT] * 3)
        self.assertEqual({packet.source for packet in reports}, {caller.rtcp_to})
        [stream, _] = call.query()["tags"][call.from_tag]["medias"][0]["streams"]
        self.assertIn("pierce NAT", stream["flags"])

        self.assertTrue(open_path(caller, callee), "callee receives nothing")
        caller.drain()
        self.assert_silent(receive(caller.rtp, 1.5), "RTP punched after the latch")
        self.assert_silent(receive(caller.rtcp, 0), "RTCP punched after the latch")
        self.assert_silent(receive(callee.rtcp, 0), "punched without the flag")
        [stream, _] = call.query()["tags"][call.from_tag]["medias"][0]["streams"]
        self.assertNotIn("pierce NAT", stream["flags"])
        self.assert_both_ways(caller, callee)
        [worker] = self.ng.command("statistics")["statistics"]["workers"]
        self.assertGreaterEqual(worker["pierced"], 6)

    def test_punch_opens_a_stateful_firewall(self):
        with self.bed.wire:
            subprocess.run(["nft", "-f", "-"], input=FIREWALL, text=True, check=True)
        for flags, passes in ([], False), (["pierce-NAT"], True):
            caller, callee = self.phone(self.bed.caller, CALLER), self.phone(self.bed.far, FAR)
            call = Call(self.ng, caller, callee)
            call.offer()
            call.answer(flags=flags)
            self.assertEqual(open_path(callee, caller, 3.0 if passes else 0.5), passes, flags)
            call.delete()

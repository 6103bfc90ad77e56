# SPDX-License-Identifier: BSD-3-Clause
"""Follows every RTP packet through three captures: both phones and the relay's wire.

The relay cannot send to a phone behind a NAT before the phone's first packet has latched. Packets
of the first sender before that are lost by design and counted as `early`. Loss is counted from the
moment both sides have latched until the last packet of either side.
"""

import collections

import topology
from capture import address, rtp_packets


class Stream:
    """One direction of one call."""

    def __init__(self, sender, ssrc):
        self.sender, self.ssrc = sender, ssrc
        self.relay_in = self.relay_out = None  # the relay's receiving and sending port
        self.early = self.sent = self.received = 0
        self.delays = []  # seconds from arrival to departure on the relay's wire, sorted

    def delay_us(self, share):
        index = min(int(len(self.delays) * share), len(self.delays) - 1)
        return self.delays[index] * 1e6


class Media:
    """All streams of a run: sent by phone A or B, through the relay, to the other phone."""

    def __init__(self, phone_a, phone_b, relay):
        at_phone = {"A": rtp_packets(phone_a), "B": rtp_packets(phone_b)}
        own = {"A": topology.PHONE_A, "B": topology.PHONE_B}
        self.sent = {side: [p for p in packets if address(p.source[0]) == own[side]]
                     for side, packets in at_phone.items()}
        received = {side: [p for p in packets if address(p.source[0]) != own[side]]
                    for side, packets in at_phone.items()}
        # Source and destination addresses of each phone's RTP: {"A": {address, ...}, "B": ...}.
        self.sources = {s: {address(p.source[0]) for p in ps} for s, ps in received.items()}
        self.targets = {s: {address(p.destination[0]) for p in ps} for s, ps in self.sent.items()}
        self.streams = self._follow(rtp_packets(relay), received)

    def _follow(self, wire, received):
        # Keyed by side, because both ends may use the same SSRC (SIPp numbers them from one value).
        side_of = {topology.NAT_A: "A", topology.NAT_B: "B"}
        entered, left, arrivals = {}, {}, collections.defaultdict(list)
        for packet in wire:
            key = packet.ssrc, packet.sequence
            if address(packet.destination[0]) == topology.RELAY:
                entered.setdefault((side_of.get(address(packet.source[0])), *key), packet)
                arrivals[packet.destination[1]].append(packet.time)
            else:
                left.setdefault((side_of.get(address(packet.destination[0])), *key), packet)

        streams = {(side, ssrc): Stream(side, ssrc)
                   for side in "AB" for ssrc in {p.ssrc for p in self.sent[side]}}
        for side, other in ("AB", "BA"):
            for packet in self.sent[side]:
                key = packet.ssrc, packet.sequence
                came, out = entered.get((side, *key)), left.get((other, *key))
                stream = streams[side, packet.ssrc]
                if came:
                    stream.relay_in = came.destination[1]
                if came and out:
                    stream.relay_out = out.source[1]
                    stream.delays.append(out.time - came.time)

        arrived = {side: {(p.ssrc, p.sequence) for p in ps} for side, ps in received.items()}
        for side, other in ("AB", "BA"):
            for packet in self.sent[side]:
                stream = streams[side, packet.ssrc]
                ways = [arrivals[port] for port in (stream.relay_in, stream.relay_out) if port]
                if packet.time < max((way[0] for way in ways), default=0):
                    stream.early += 1
                elif packet.time <= min((way[-1] for way in ways), default=packet.time):
                    stream.sent += 1
                    stream.received += (packet.ssrc, packet.sequence) in arrived[other]
        for stream in streams.values():
            stream.delays.sort()
        return list(streams.values())

    def total(self, field):
        return sum(getattr(stream, field) for stream in self.streams)

    def delay_us(self, share):
        delays = sorted(delay for stream in self.streams for delay in stream.delays)
        return delays[min(int(len(delays) * share), len(delays) - 1)] * 1e6

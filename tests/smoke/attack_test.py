# SPDX-License-Identifier: BSD-3-Clause
"""RTP bleed and RTP inject: an attacker sprays every port, before, during and after set-up."""

import socket
import struct
import threading
import time

from smoke.bed import ATTACKER, CALLEE, CALLER, FAR, Call, RelayCase
from smoke.frames import is_udp_from
from smoke.phone import Traffic, receive
from smoke.relay import ADDRESS, SECOND_ADDRESS, SLOWNESS

MARK = b"INJECTED" * 20
FIRST_PORT, LAST_PORT = 30000, 30127


class Sprayer:
    """Sends RTP, RTCP and STUN to every media port of both addresses in a loop."""

    def __init__(self, space):
        with space:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ATTACKER, 4444))
        self.rounds = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        sequence = 0
        while not self._end.is_set():
            sequence = (sequence + 1) % 65536
            rtp = struct.pack("!BBHII", 0x80, 0, sequence, sequence * 160, 0x41414141) + MARK
            rtcp = struct.pack("!BBHI", 0x80, 201, 1, 0x41414141)
            stun = struct.pack("!HHI", 1, 0, 0x2112A442) + MARK[:12]
            for port in range(FIRST_PORT, LAST_PORT + 1):
                for address in (ADDRESS, SECOND_ADDRESS):
                    self.socket.sendto(rtp, (address, port))
                self.socket.sendto((rtcp, stun)[sequence % 2], (ADDRESS, port))
                if port % 8 == 0:
                    time.sleep(0.001)  # keeps each burst below the size of the receive ring
            self.rounds += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.socket.close()


class AttackTest(RelayCase):
    settings = {"interface": {"ports": [FIRST_PORT, LAST_PORT]}}

    def test_port_spraying_attacker_neither_receives_nor_injects_media(self):
        wires = {"caller": self.sniff(self.bed.caller), "callee": self.sniff(self.bed.callee),
                 "far": self.sniff(self.bed.far), "attacker": self.sniff(self.bed.attacker)}
        ours = [is_udp_from(ADDRESS), is_udp_from(SECOND_ADDRESS)]
        with Sprayer(self.bed.attacker) as sprayer:
            self.wait_for_rounds(sprayer, 20)
            calls = []
            for space, address in ((self.bed.callee, CALLEE), (self.bed.far, FAR)) * 3:
                call = Call(self.ng, self.phone(self.bed.caller, CALLER),
                            self.phone(space, address))
                call.offer()
                calls.append(call)
            self.wait_for_rounds(sprayer, 10)  # early media: offered, not answered
            for call in calls:
                call.answer()
            self.wait_for_rounds(sprayer, 10)  # answered, nothing latched
            for call in calls:
                self.assert_open(call)
            for _ in range(3):
                with Traffic(calls[0]) as near, Traffic(calls[1]) as far:
                    time.sleep(2)  # must lose no packet for 2 s
                    for call in calls:
                        call.offer()
                        call.answer()
                self.assertEqual((near.lost, far.lost), (0, 0), "packets lost")
            for call in calls:
                call.delete()
            self.wait_for_rounds(sprayer, 10)
        for name, wire in wires.items():
            frames = wire.receive(0, lambda frame: any(test(frame) for test in ours))
            if name == "attacker":
                self.assert_silent(frames, "sent to the attacker")
            else:
                self.assertTrue(frames, "the sniffer captured no media")
            self.assert_silent([f for f in frames if b"INJECTED" in f], f"relayed to {name}")
        for call in calls:
            self.assert_silent([p for p in receive(call.callee.rtp, 0) if MARK in p.data])

    def wait_for_rounds(self, sprayer, count):
        end = sprayer.rounds + count
        self.wait_for(lambda: sprayer.rounds >= end, f"{count} rounds of the attacker",
                      30.0 * SLOWNESS)

# SPDX-License-Identifier: BSD-3-Clause
"""Captures: tcpdump on one device, and a reader for the RTP in its file.

All captures are on one machine, so their time stamps share one clock and can be subtracted.
"""

import collections
import re
import signal
import socket
import struct
import time

from processes import Failure

SNAP = 64  # Ethernet, IPv4, UDP and RTP headers

# One RTP packet on the wire. `source` and `destination` are (address, port).
Packet = collections.namedtuple(
    "Packet", "time from_mac source destination ssrc sequence payload_type")


class Capture:
    def __init__(self, programs, namespace, device, path):
        self.path = path
        # -Z root: keeps write access to the file. -B: holds seconds of the busiest wire here.
        self._program = programs.start(
            f"tcpdump-{path.stem}",
            ["tcpdump", "-Z", "root", "-n", "-i", device, "-s", SNAP, "-B", 32768,
             "--time-stamp-precision=nano", "-U", "-w", path, "udp"],
            namespace)

    def started(self):
        self._program.wait_until(lambda: "listening on" in self._program.log_text(), 5,
                                 "'listening on'")
        return self

    def counts(self):
        """[(packets captured, received by the filter, dropped by the kernel), ...] of the log."""
        text = " ".join(self._program.log_text().split())
        found = re.findall(r"(\d+) packets? captured,? (\d+) packets? received by filter,? "
                           r"(\d+) packets? dropped by kernel", text)
        return [tuple(map(int, counts)) for counts in found]

    def drain(self):
        """Waits until the file has all packets that the kernel had received at the call."""
        received = None

        def drained():
            nonlocal received
            asked = len(self.counts())
            self._program.popen.send_signal(signal.SIGUSR1)
            self._program.wait_until(lambda: len(self.counts()) > asked, 5, "its counts")
            captured, by_filter, _ = self.counts()[-1]
            received = received or by_filter
            return captured >= received

        self._program.wait_until(drained, 10, "all packets in its file")

    def wait_for_rtp(self, seconds, patience):
        """Waits until the file has RTP captured `seconds` after this call."""
        start = time.time()
        self._program.wait_until(
            lambda: any(p.time >= start + seconds for p in rtp_packets(self.path)), patience,
            f"RTP for {seconds} s")

    def stop(self):
        self._program.stop(number=signal.SIGINT)
        counts = self.counts()
        if not counts or counts[-1][2] != 0:
            raise self._program.failure("tcpdump dropped packets")


def stop_all(captures):
    """Stops the captures once their files have all packets up to now."""
    for capture in captures:
        capture.drain()
    for capture in captures:
        capture.stop()


def datagrams(path):
    """(time, source MAC, source, destination, first bytes of the payload) of each UDP datagram."""
    data = path.read_bytes()
    if len(data) < 24 or struct.unpack_from("<I", data)[0] != 0xA1B23C4D:
        raise Failure(f"{path} is not a pcap file with nanosecond time stamps")
    at = 24
    while at + 16 <= len(data):
        seconds, nanoseconds, size, _ = struct.unpack_from("<IIII", data, at)
        at += 16
        frame = data[at:at + size]
        at += size
        if size < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        udp = 14 + (frame[14] & 15) * 4
        ports = struct.unpack_from("!HH", frame, udp)
        yield (seconds + nanoseconds * 1e-9, frame[6:12], (frame[26:30], ports[0]),
               (frame[30:34], ports[1]), frame[udp + 8:])


def is_rtp(payload):
    """RFC 7983: first byte 128..191; RFC 5761: second byte 192..223 is RTCP."""
    return len(payload) >= 12 and 128 <= payload[0] <= 191 and not 192 <= payload[1] <= 223


def rtp_packets(path):
    return [Packet(time, mac, source, destination, int.from_bytes(payload[8:12], "big"),
                   int.from_bytes(payload[2:4], "big"), payload[1] & 127)
            for time, mac, source, destination, payload in datagrams(path) if is_rtp(payload)]


def address(packed):
    return socket.inet_ntoa(packed)

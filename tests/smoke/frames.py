# SPDX-License-Identifier: BSD-3-Clause
"""Builds Ethernet frames and sends and captures them on a packet socket."""

import select
import socket
import struct
import time

ETH_P_ALL, ETH_P_IP, ETH_P_ARP = 3, 0x0800, 0x0806
BROADCAST = b"\xff" * 6


class Port:
    """All frames of one interface of a namespace."""

    def __init__(self, space, interface):
        with space:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        self.socket.bind((interface, 0))
        self.socket.setblocking(False)
        self.mac = self.socket.getsockname()[4]

    def send(self, frame):
        self.socket.send(frame)

    def receive(self, seconds, wanted=lambda frame: True, count=None):
        """Incoming frames, until `count` have arrived or `seconds` have passed."""
        frames, deadline = [], time.monotonic() + seconds
        while count is None or len(frames) < count:
            try:
                frame, (_, _, kind, *_) = self.socket.recvfrom(65536)
                if kind != socket.PACKET_OUTGOING and wanted(frame):
                    frames.append(frame)
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                    break
        return frames

    def close(self):
        self.socket.close()


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ethernet(to, source, kind, payload):
    return to + source + struct.pack("!H", kind) + payload


def ipv4(source, to, protocol, payload, fragment=0):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(to))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(source, to, payload):
    """An IPv4 packet; source and to are (address, port)."""
    length = 8 + len(payload)
    pseudo = socket.inet_aton(source[0]) + socket.inet_aton(to[0]) + struct.pack("!HH", 17, length)
    header = struct.pack("!HHHH", source[1], to[1], length, 0)
    total = checksum(pseudo + header + payload) or 0xFFFF
    return ipv4(source[0], to[0], 17, header[:6] + struct.pack("!H", total) + payload)


def arp(operation, source_mac, source, to_mac, to):
    return struct.pack("!HHBBH6s4s6s4s", 1, ETH_P_IP, 6, 4, operation, source_mac,
                       socket.inet_aton(source), to_mac, socket.inet_aton(to))


def icmp_echo(source, to, identifier, payload):
    header = struct.pack("!BBHHH", 8, 0, 0, identifier, 1)
    total = checksum(header + payload)
    return ipv4(source, to, 1, header[:2] + struct.pack("!H", total) + header[4:] + payload)


def ethertype(frame):
    return struct.unpack("!H", frame[12:14])[0]


def is_udp_from(address):
    """A frame filter: UDP over IPv4 from this address."""
    wanted = socket.inet_aton(address)
    return lambda frame: (ethertype(frame) == ETH_P_IP and frame[23] == 17 and
                          frame[26:30] == wanted)

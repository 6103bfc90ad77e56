# SPDX-License-Identifier: BSD-3-Clause
"""A party of a call: UDP sockets in a namespace that send and receive RTP and RTCP."""

import collections
import itertools
import random
import re
import select
import socket
import struct
import threading
import time

Packet = collections.namedtuple("Packet", "data source")
_ports = itertools.count(20000, 2)


class Phone:
    """`address` is in `space`; the SDP may have another one (`sdp_address`), as behind a NAT."""

    def __init__(self, space, address, sdp_address=None):
        self.space, self.address = space, address
        self.sdp_address = sdp_address or address
        self.port = next(_ports)
        self.rtp, self.rtcp = self._bind(self.port), self._bind(self.port + 1)
        self.ssrc = random.getrandbits(32)
        self.sequence = random.getrandbits(15)
        self.timestamp = random.getrandbits(31)
        self.to = self.rtcp_to = None

    def _bind(self, port):
        with self.space:
            made = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET,
                                 socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        made.bind((self.address, port))
        made.setblocking(False)
        return made

    def sdp(self, direction="sendrecv", address=None, mux=False, media=None):
        """An SDP body with one media section; `media` replaces the m= line and more lines."""
        address = address or self.sdp_address
        named = f"IN {family(address)} {address}"
        lines = ["v=0", f"o=- 1 1 {named}", "s=call", f"c={named}", "t=0 0",
                 f"m=audio {self.port} RTP/AVP 0" if media is None
                 else f"m={media.replace('PORT', str(self.port))}",
                 f"a={direction}"] + (["a=rtcp-mux"] if mux else [])
        return "\r\n".join(lines) + "\r\n"

    def connect(self, sdp):
        """Sends to the endpoints of the relay's SDP from now on."""
        self.to, self.rtcp_to = endpoints(sdp)

    def rebind(self):
        """Moves to a new port, as a NAT rebinding does: same address, same stream."""
        self.rtp.close()
        self.port = next(_ports)
        self.rtp = self._bind(self.port)

    def packet(self, payload=None, payload_type=0):
        """The next RTP packet of this phone's stream: 20 ms of G.711."""
        self.sequence = (self.sequence + 1) % 65536
        self.timestamp = (self.timestamp + 160) % 2**32
        header = struct.pack("!BBHII", 0x80, payload_type, self.sequence, self.timestamp, self.ssrc)
        return header + (payload if payload is not None else random.randbytes(160))

    def report(self):
        """An RTCP compound: an empty receiver report and a CNAME (RFC 3550 section 6.1)."""
        cname = b"phone@" + self.address.encode()
        item = struct.pack("!IBB", self.ssrc, 1, len(cname)) + cname + b"\0"
        item += bytes(-len(item) % 4)
        return (struct.pack("!BBHI", 0x80, 201, 1, self.ssrc) +
                struct.pack("!BBH", 0x81, 202, len(item) // 4) + item)

    def send(self, data=None):
        data = data if data is not None else self.packet()
        self.rtp.sendto(data, self.to)
        return data

    def send_rtcp(self, data=None):
        data = data if data is not None else self.report()
        self.rtcp.sendto(data, self.rtcp_to)
        return data

    def drain(self):
        """Discards what has arrived on both sockets."""
        receive(self.rtp, 0)
        receive(self.rtcp, 0)

    def close(self):
        self.rtp.close()
        self.rtcp.close()


def family(address):
    """The address family's name in SDP and ng."""
    return "IP6" if ":" in address else "IP4"


def endpoints(sdp):
    """The RTP and the RTCP endpoint of the first media section of an SDP body."""
    address = re.search(r"^c=IN IP[46] (\S+)", sdp, re.MULTILINE)[1]
    port = int(re.search(r"^m=\w+ (\d+)", sdp, re.MULTILINE)[1])
    rtcp = re.search(r"^a=rtcp:(\d+)", sdp, re.MULTILINE)
    return (address, port), (address, int(rtcp[1]) if rtcp else port + 1)


def receive(sock, seconds, count=None):
    """Receives packets until `count` have arrived or `seconds` have passed."""
    packets, deadline = [], time.monotonic() + seconds
    while count is None or len(packets) < count:
        try:
            data, source = sock.recvfrom(65536)
            packets.append(Packet(data, source[:2]))
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([sock], [], [], left)[0]:
                break
    return packets


def transfer(sender, receiver, count=20, patience=2.0, pace=0.002, datagrams=None):
    """Sends `count` RTP packets, or `datagrams`; returns what was sent and what was received."""
    sent, got = [], []
    for data in datagrams or [None] * count:
        sent.append(sender.send(data))
        got += receive(receiver.rtp, pace, 1)
    return sent, got + receive(receiver.rtp, patience, len(sent) - len(got))


def open_path(sender, receiver, seconds=3.0, datagram=None):
    """Sends until the receiver gets a packet: latched, next hops resolved. False: timed out."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sender.send(datagram)
        if receive(receiver.rtp, 0.02, 1):
            receive(receiver.rtp, 0.02)
            return True
    return False


class Traffic:
    """Media in both directions during a `with` block, one packet per direction every 5 ms."""

    def __init__(self, call):
        self.pair = (call.caller, call.callee)
        self.sent = {phone: [] for phone in self.pair}
        self.received = {phone: [] for phone in self.pair}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._end.wait(0.005):
            for phone in self.pair:
                self.sent[phone].append(phone.send())
                self.received[phone] += receive(phone.rtp, 0)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        for phone, other in (self.pair, self.pair[::-1]):
            self.received[phone] += receive(phone.rtp, 1.0,
                                            len(self.sent[other]) - len(self.received[phone]))

    def passes(self, count):
        """Whether each phone has received at least `count` packets."""
        return all(len(received) >= count for received in self.received.values())

    @property
    def lost(self):
        """Packets sent and not received, in both directions."""
        caller, callee = self.pair
        return sum(len(set(self.sent[a]) - {packet.data for packet in self.received[b]})
                   for a, b in ((caller, callee), (callee, caller)))

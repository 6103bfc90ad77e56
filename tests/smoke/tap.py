# SPDX-License-Identifier: BSD-3-Clause
"""Sits between a proxy's module and the relay; forwards and records requests and replies."""

import collections
import contextlib
import socket
import threading

from smoke.ng import connected

Exchange = collections.namedtuple("Exchange", "request reply")


class Tap:
    """The relay's socket as the proxy sees it: a UNIX path, or a port of 127.0.0.1 in `space`.

    The modules send one command and wait for its reply, so one recv() returns one message. The
    relay must send a reply in one piece too, because the modules read it by one recv().
    """

    def __init__(self, at, relay, space=None):
        self.at, self.relay = at, relay
        self.exchanges = []
        if space:
            with space:
                self.socket, self.onward = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                                            for _ in range(2))
            self.socket.bind(("127.0.0.1", at))
            self.onward.settimeout(5)
            self.onward.connect(("127.0.0.1", relay))
            run = self._datagrams
        else:
            self.onward = None
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.bind(str(at))
            self.socket.listen(64)
            run = self._streams
        threading.Thread(target=run, daemon=True).start()

    def requests(self):
        return [exchange.request for exchange in self.exchanges]

    def _datagrams(self):
        with contextlib.suppress(OSError):  # the socket was closed
            while True:
                request, client = self.socket.recvfrom(65536)
                self.onward.send(request)
                reply = self.onward.recv(65536)
                self.exchanges.append(Exchange(request, reply))
                self.socket.sendto(reply, client)

    def _streams(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                threading.Thread(target=self._stream, args=(client,), daemon=True).start()

    def _stream(self, client):
        with client, contextlib.suppress(OSError), connected(self.relay) as relay:
            while request := client.recv(262144):
                relay.sendall(request)
                reply = relay.recv(262144)
                self.exchanges.append(Exchange(request, reply))
                client.sendall(reply)

    def close(self):
        self.socket.close()
        if self.onward:
            self.onward.close()

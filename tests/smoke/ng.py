# SPDX-License-Identifier: BSD-3-Clause
"""A client of the ng protocol, like a SIP proxy's rtpengine module, on UNIX or UDP sockets."""

import itertools
import json
import os
import socket

from lab.ng import decode, encode


def connected(path, timeout=5):
    """Connects to a UNIX stream socket."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(timeout)
    try:
        made.connect(str(path))
    except OSError:
        made.close()
        raise
    return made


class Refused(Exception):
    """The relay replied with an error; the text is its error-reason."""


class Client:
    """Sends commands, with keys as keyword arguments (`call_id` is call-id)."""

    def command(self, command, **keys):
        message = {"command": command}
        message |= {name.replace("_", "-"): value for name, value in keys.items()}
        reply = self.exchange(message)
        if reply["result"] == "error":
            raise Refused(reply["error-reason"])
        return reply

    def statistics(self):
        return self.command("statistics")["statistics"]

    def exchange(self, message):
        raise NotImplementedError


class UnixClient(Client):
    """Like Kamailio and OpenSIPS: connect, send, read once, close; no cookie."""

    def __init__(self, path):
        self.path = path

    def raw(self, data, timeout=5):
        with connected(self.path, timeout) as connection:
            connection.sendall(data)
            return connection.recv(262144)

    def exchange(self, message):
        return decode(self.raw(encode(message)))[0]


class UdpClient(Client):
    """Sends from inside a namespace, with a cookie, in bencode or JSON."""

    def __init__(self, space, port, as_json=False, address="127.0.0.1"):
        with space:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.connect((address, port))
        self.as_json = as_json
        self._serial = itertools.count()

    def raw(self, data):
        self.socket.send(data)
        return self.socket.recv(65536)

    def exchange(self, message):
        cookie = b"%d_%d" % (os.getpid(), next(self._serial))
        payload = json.dumps(message).encode() if self.as_json else encode(message)
        reply = self.raw(cookie + b" " + payload)
        if not reply.startswith(cookie + b" "):
            raise ValueError(f"reply to {cookie}: {reply[:40]}")
        text = reply[len(cookie) + 1:]
        return json.loads(text) if self.as_json else decode(text)[0]

    def close(self):
        self.socket.close()

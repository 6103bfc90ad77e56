# SPDX-License-Identifier: BSD-3-Clause
"""A client of the ng protocol: what a SIP proxy's rtpengine module does, on UNIX or UDP sockets."""

import itertools
import json
import os
import socket


class Refused(Exception):
    """The relay answered with an error; the text is its error-reason."""


def encode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    return b"d" + b"".join(encode(key) + encode(item) for key, item in value.items()) + b"e"


def decode(data):
    value, end = _decode(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes after the message")
    return value


def _decode(data, at):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    if end > len(data):
        raise ValueError("cut off")
    return data[colon + 1:end].decode(), end


class Client:
    """Sends commands; a method a command, keys as keyword arguments (`call_id` is call-id)."""

    def command(self, command, **keys):
        message = {"command": command}
        message |= {name.replace("_", "-"): value for name, value in keys.items()}
        reply = self.exchange(message)
        if reply["result"] == "error":
            raise Refused(reply["error-reason"])
        return reply

    def exchange(self, message):
        raise NotImplementedError


class UnixClient(Client):
    """As Kamailio and OpenSIPS do: connect, send, one read, close; no cookie."""

    def __init__(self, path):
        self.path = str(path)

    def raw(self, data, timeout=5):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(self.path)
            connection.sendall(data)
            return connection.recv(262144)

    def exchange(self, message):
        return decode(self.raw(encode(message)))


class UdpClient(Client):
    """With a cookie, from inside a namespace; in bencode or JSON."""

    def __init__(self, space, port, as_json=False):
        with space:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", port))
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
        return json.loads(text) if self.as_json else decode(text)

    def close(self):
        self.socket.close()

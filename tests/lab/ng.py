#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A client of the relay's control socket: ng protocol, bencode over a UNIX stream socket.

  tests/lab/ng.py SOCKET COMMAND [KEY=VALUE ...]
"""

import json
import socket
import sys


def encode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    return b"d" + b"".join(encode(k) + encode(v) for k, v in value.items()) + b"e"


def decode(data, at=0):
    """The value at data[at] and its end; IndexError or ValueError if it is truncated."""
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        if kind == b"l":
            return items, at + 1
        return dict(zip(items[::2], items[1::2])), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    if end > len(data):
        raise ValueError("truncated")
    return data[colon + 1:end].decode(errors="replace"), end


def request(path, command, timeout=2.0, **arguments):
    """Sends one command and returns the reply as a dictionary. `call_id` means `call-id`."""
    message = {name.replace("_", "-"): value for name, value in arguments.items()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(encode({"command": command, **message}))
        reply = b""
        while chunk := connection.recv(65536):
            reply += chunk
            try:
                return decode(reply)[0]
            except ValueError:
                continue
    raise ConnectionError(f"{path}: the relay closed the connection before the end of its reply")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    words = dict(word.split("=", 1) for word in sys.argv[3:])
    print(json.dumps(request(sys.argv[1], sys.argv[2], **words), indent=2))

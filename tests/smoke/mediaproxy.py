# SPDX-License-Identifier: BSD-3-Clause
"""Clients of MediaProxy's protocols: a SIP proxy at the dispatcher's socket, a management client."""

import json

from smoke.ng import connected


class LineClient:
    """Sends lines on a connected stream socket and reads lines."""

    def __init__(self, stream):
        self.stream, self.rest = stream, b""

    def line(self):
        while b"\r\n" not in self.rest:
            data = self.stream.recv(1 << 20)
            if not data:
                raise EOFError(self.rest)
            self.rest += data
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line.decode()

    def ask(self, command):
        self.stream.sendall(command.encode() + b"\r\n")
        return self.line()


class Dispatcher(LineClient):
    """A proxy's connection to the dispatcher's socket at `path`."""

    def __init__(self, path):
        super().__init__(connected(path))

    def command(self, name, **headers):
        return self.ask("\r\n".join([name, *(f"{key}: {value}" for key, value in headers.items()),
                                     ""]))

    def update(self, **headers):
        """Returns the relay's address and the port of each stream."""
        reply = self.command("update", **headers).split()
        assert reply[0] != "error", headers
        return reply[0], [int(port) for port in reply[1:]]

    def sessions(self):
        return json.loads(self.ask("sessions"))

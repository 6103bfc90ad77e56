# SPDX-License-Identifier: BSD-3-Clause
"""Control sockets: UNIX and UDP, bencode and JSON, valid and malformed input."""

import socket
import time

from lab.ng import decode, encode

from smoke.bed import Call, RelayCase
from smoke.ng import Refused, UdpClient, connected
from smoke.phone import Traffic, transfer
from smoke.relay import SLOWNESS, UDP_PORT

GARBAGE = [
    b"", b"d", b"e", b"i", b"ie", b"i0", b"0:", b"-1:", b"le", b"de", b"d0:e", b"x" * 70000,
    b"d7:command5:offere", b"d7:commandi5ee", b"d7:command7:destroye", b"d3:sdp99999999999:x",
    b"d3:sdp18446744073709551615:x", b"di1ei2ee", b"l" * 100000, b"d1:a" * 50000,
    b"cookie d7:command", b"cookie {", b'cookie {"command":', b'cookie {"command":"offer"}',
    b"cookie " + b"[" * 100000, b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"cookie ", b" ",
]


class ControlTest(RelayCase):
    def udp(self, **keys):
        client = UdpClient(self.bed.relay, UDP_PORT, **keys)
        self.addCleanup(client.close)
        return client

    def unix(self):
        connection = connected(self.relay.socket)
        self.addCleanup(connection.close)
        return connection

    def test_many_requests_on_one_connection(self):
        connection = self.unix()
        for number in range(100):
            cookie = f"{number}_x ".encode() if number % 2 else b""
            connection.send(cookie + encode({"command": "ping"}))
            self.assertEqual(connection.recv(1000), cookie + b"d6:result4:ponge")
        connection.send(b"d7:command4:pinge" * 3)
        replies = b""
        while len(replies) < 3 * len(b"d6:result4:ponge"):
            replies += connection.recv(1000)
        self.assertEqual(replies, b"d6:result4:ponge" * 3)

    def test_large_request_in_pieces_gets_one_whole_reply(self):
        caller, callee = self.phones()
        body = caller.sdp() + ("a=x-long:" + "y" * 1000 + "\r\n") * 40
        call = Call(self.ng, caller, callee)
        message = encode({"command": "offer", "call-id": call.call_id, "from-tag": "a",
                          "sdp": body})
        connection = self.unix()
        for at in range(0, len(message), 5000):
            connection.send(message[at:at + 5000])
            time.sleep(0.005)  # so that the server receives the pieces one by one
        reply, end = decode(connection.recv(262144))
        self.assertEqual(reply["result"], "ok", reply)
        self.assertGreater(end, 40000)
        call.from_tag = "a"
        call.delete()

    def test_udp_and_json_carry_a_call(self):
        for client in (self.udp(), self.udp(as_json=True)):
            call = self.call(client)
            self.assert_received(*transfer(call.caller, call.callee))
            self.assertIn(call.call_id, client.command("list", limit=1000)["calls"])
            call.delete()

    def test_repeated_datagram_gets_the_cached_reply(self):
        client = self.udp()
        caller, callee = self.phones()
        request = b"7_7 " + encode({"command": "offer", "call-id": f"twice-{caller.port}",
                                    "from-tag": "a", "sdp": caller.sdp()})
        before = self.ng.statistics()
        replies = {client.raw(request) for _ in range(5)}
        self.assertEqual(len(replies), 1)
        after = self.ng.statistics()
        self.assertEqual(after["controlstatistics"]["totaloffercount"] -
                         before["controlstatistics"]["totaloffercount"], 1)
        # The same cookie from another peer is another request.
        self.assertEqual(self.udp().raw(b"7_7 d7:command4:pinge"), b"7_7 d6:result4:ponge")
        self.ng.command("delete", call_id=f"twice-{caller.port}")

    def test_error_texts_match_rtpengine(self):
        with self.assertRaisesRegex(Refused, "^Unrecognized command$"):
            self.ng.command("destroy")
        with self.assertRaisesRegex(Refused, "^Unknown call-id$"):
            self.ng.command("query", call_id="nosuch")
        with self.assertRaisesRegex(Refused, "^No SDP body in message$"):
            self.ng.command("offer", call_id="x", from_tag="y")
        reply = self.ng.command("delete", call_id="nosuch", from_tag="y")
        self.assertEqual(reply["warning"], "Call-ID not found or tags didn't match")

    def test_unparsable_sdp_leaves_the_call_unchanged(self):
        call = self.call(self.ng)
        with Traffic(call) as traffic:
            for body in ("nonsense", "v=0\r\nm=audio\r\n", "v=0\r\nm=audio 99999 RTP/AVP 0\r\n"):
                with self.assertRaisesRegex(Refused, "line [0-9]+"):
                    call.offer(body)
        self.assertEqual(traffic.lost, 0)
        self.assert_received(*transfer(call.callee, call.caller))

    def test_malformed_input_does_not_disturb_a_live_call(self):
        call = self.call(self.ng)
        datagrams = self.udp()
        slow = [self.unix() for _ in range(50)]
        with Traffic(call) as traffic:
            for connection in slow:
                connection.send(b"d7:command4:pi")
            for data in GARBAGE:
                connection = self.unix()
                try:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except ConnectionError:
                    pass  # the relay refused it by closing the connection
                connection.close()
                datagrams.socket.send(data[:60000])
                start = time.monotonic()
                self.assertEqual(self.ng.command("ping")["result"], "pong")
                self.assertLess(time.monotonic() - start, 0.5 * SLOWNESS)
            for connection in slow:
                connection.send(b"nge")
                self.assertEqual(connection.recv(100), b"d6:result4:ponge")
        self.assertEqual(traffic.lost, 0)
        self.assert_received(*transfer(call.callee, call.caller))

    def test_client_that_never_reads_is_disconnected(self):
        stalled = self.unix()
        stalled.setblocking(False)
        ping = b"d7:command4:pinge" * 1000
        sent, deadline = 0, time.monotonic() + 5
        try:
            while sent < 50_000_000 and time.monotonic() < deadline:
                try:
                    sent += stalled.send(ping)
                except BlockingIOError:
                    time.sleep(0.01)
        except ConnectionError:
            pass
        self.assertEqual(self.ng.command("ping")["result"], "pong")
        self.assertLess(self.relay.resident_kb(), 600_000 * SLOWNESS)

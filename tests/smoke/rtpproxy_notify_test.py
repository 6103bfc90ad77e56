# SPDX-License-Identifier: BSD-3-Clause
"""rtpproxy's timeout notification: the socket named by `U` gets the tag when media stops."""

import itertools
import json
import pathlib
import shutil
import socket
import tempfile
import time
import types

from smoke.bed import Case
from smoke.ng import connected
from smoke.phone import Traffic
from smoke.relay import SLOWNESS

RTPP_UDP = 22222
MEDIA_TIMEOUT = 2


class RtpproxyNotifyTest(Case):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-tags-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.rtpp = self.folder / "rtpp.sock"
        self.relay = self.new_relay({
            "control": [{"protocol": "rtpp", "path": str(self.rtpp)},
                        {"protocol": "rtpp", "udp": f"127.0.0.1:{RTPP_UDP}"}],
            "timeouts": {"media": MEDIA_TIMEOUT}}).start()
        self.cookies = itertools.count()

    def ask(self, command):
        """Sends one command per connection, like the modules."""
        with connected(self.rtpp) as client:
            client.send(command.encode())
            return client.recv(255).decode()

    def ask_by_udp(self, command):
        cookie = f"cookie{next(self.cookies)} "
        with self.bed.relay, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(("127.0.0.1", RTPP_UDP))
            client.send((cookie + command).encode())
            reply = client.recv(255).decode()
        self.assertTrue(reply.startswith(cookie), reply)
        return reply.removeprefix(cookie)

    def listener(self, family, address):
        """A notification socket on the relay's host, as OpenSIPS opens it."""
        with self.bed.relay:
            made = socket.socket(family, socket.SOCK_STREAM)
        self.addCleanup(made.close)
        made.bind(address)
        made.listen()
        return made

    def notification(self, listener, seconds):
        """All bytes of the next connection; None if no connection arrives."""
        listener.settimeout(seconds)
        try:
            peer, _ = listener.accept()
        except TimeoutError:
            return None
        with peer, peer.makefile("rb") as stream:
            peer.settimeout(5)
            return stream.read()

    def sdp(self, reply):
        """The endpoint in a reply, as an SDP for Phone.connect()."""
        port, address = reply.split()[:2]
        return f"c=IN IP4 {address}\nm=audio {port} RTP/AVP 0\n"

    def call(self, ask, notification):
        """An answered call with media both ways, whose `U` ends with `notification`."""
        caller, callee = self.phones()
        name = f"call-{next(self.cookies)}"
        callee.connect(self.sdp(ask(f"Uc0 {name} {caller.address} {caller.port} a;1 "
                                    f"{notification}")))
        caller.connect(self.sdp(ask(f"Lc0 {name} {callee.address} {callee.port} a;1 b;1")))
        call = types.SimpleNamespace(caller=caller, callee=callee)
        self.assert_open(call)
        return call

    def assert_notified_after_silence(self, listener, ask, notification, line):
        begin = time.monotonic()
        self.call(ask, notification)
        self.assertEqual(self.notification(listener, (MEDIA_TIMEOUT + 8) * SLOWNESS), line)
        self.assertGreaterEqual(time.monotonic() - begin, MEDIA_TIMEOUT)
        self.assertEqual(self.relay.ng.statistics()["currentstatistics"]["sessionsown"], 0)
        self.relay.check_stop()
        self.assertRegex(self.relay.text(), "notification-sent")

    def test_unix(self):
        path = str(self.folder / "tags.sock")
        listener = self.listener(socket.AF_UNIX, path)
        self.assert_notified_after_silence(listener, self.ask, f"unix:{path} T%3a17%20x", b"T:17 x\n")

    def test_tcp(self):
        listener = self.listener(socket.AF_INET, ("127.0.0.1", 0))
        port = listener.getsockname()[1]
        self.assert_notified_after_silence(listener, self.ask, f"tcp:127.0.0.1:{port} T18", b"T18\n")

    def test_cc_self_is_the_address_of_the_client(self):
        listener = self.listener(socket.AF_INET, ("127.0.0.1", 0))
        port = listener.getsockname()[1]
        for ask in (self.ask, self.ask_by_udp):
            self.call(ask, f"tcp:%%CC_SELF%%:{port} {ask.__name__}")
            self.assertEqual(self.notification(listener, (MEDIA_TIMEOUT + 8) * SLOWNESS),
                             ask.__name__.encode() + b"\n")
        self.relay.check_stop()

    def test_no_notification_while_media_flows_or_after_delete(self):
        path = str(self.folder / "tags.sock")
        listener = self.listener(socket.AF_UNIX, path)
        call = self.call(self.ask, f"unix:{path} T19")
        with Traffic(call):
            self.assertIsNone(self.notification(listener, MEDIA_TIMEOUT + 2))
            self.assert_post_dial_delay()
        self.assertEqual(self.ask("D call-0 a b"), "0\n")
        self.assertIsNone(self.notification(listener, MEDIA_TIMEOUT + 2))
        self.relay.check_stop()

    def assert_post_dial_delay(self):
        """MediaProxy's management socket reports the delay of each stream's first packet."""
        with connected(self.relay.mediaproxy_socket) as client, client.makefile("rb") as stream:
            client.send(b"sessions\r\n")
            session, = json.loads(stream.readline())
        delay = session["streams"][0]["post_dial_delay"]
        self.assertGreater(delay, 0)
        self.assertLess(delay, MEDIA_TIMEOUT * SLOWNESS)

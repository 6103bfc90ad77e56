# SPDX-License-Identifier: BSD-3-Clause
"""MediaProxy's management port: TLS with client certificates, and plain TCP on loopback."""

import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import warnings

from smoke.bed import Case
from smoke.certificates import Authority
from smoke.mediaproxy import Dispatcher, LineClient
from smoke.ng import Refused
from smoke.relay import PROGRAM, SLOWNESS

TLS_PORT, TCP_PORT = 25061, 25062
MAX_CLIENTS = 16  # Connections::kMaxRemote


class Client(LineClient):
    def ended(self):
        """True once the relay has closed the connection, without a line before."""
        try:
            while data := self.stream.recv(1000):  # a TLS alert
                if b"\n" in data:
                    return False
            return True
        except (ssl.SSLError, ConnectionError):
            return True


class ManagementTest(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.authority = Authority(cls.folder, "authority")
        cls.server = cls.authority.issue("server", "/CN=relay")
        cls.client = cls.authority.issue("client", "/C=NL/O=Example, Inc/CN=web.example.com")

    def tls(self, **keys):
        certificate, key = self.server
        return {"protocol": "mediaproxy-management", "tls": f"127.0.0.1:{TLS_PORT}",
                "certificate": str(certificate), "private_key": str(key),
                "authority": str(self.authority.certificate)} | keys

    def start(self, *control, **settings):
        self.relay = self.new_relay({"control": list(control) or [self.tls()]} | settings).start()
        return self.relay

    def connect(self, port):
        with self.bed.relay:
            stream = socket.create_connection(("127.0.0.1", port), timeout=5 * SLOWNESS)
        self.addCleanup(stream.close)
        return stream

    def connect_tls(self, certificate=None, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.authority.certificate)
        if version:
            context.set_ciphers("DEFAULT@SECLEVEL=0")  # for versions before 1.2
            context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(*certificate)
        stream = context.wrap_socket(self.connect(TLS_PORT))
        self.addCleanup(stream.close)
        return Client(stream)

    def assert_refused(self, reason, certificate=None, version=None):
        """The relay serves the client nothing and logs the reason."""
        try:
            client = self.connect_tls(certificate, version)
            client.stream.sendall(b"summary\r\n")
            self.assertTrue(client.ended())
        except (ssl.SSLError, ConnectionError):
            pass
        self.wait_for(lambda: reason in self.relay.text(), reason, logs=self.relay.text)
        self.assertRegex(self.relay.text(), r"control-disconnected peer=127\.0\.0\.1:\d+ reason=")

    def make_calls(self, count):
        proxy = Dispatcher(self.relay.mediaproxy_socket)
        self.addCleanup(proxy.stream.close)
        for number in range(count):
            for kind in ("request", "reply"):
                proxy.update(type=kind, call_id=f"c{number}", cseq=1, from_tag="a", to_tag="b",
                             from_uri="a@x", to_uri="b@x", user_agent="ua",
                             media="audio:198.18.0.10:4000:sendrecv:ice=no")

    def test_client_with_a_certificate_is_served(self):
        self.start()
        client = self.connect_tls(self.client)
        self.assertEqual(client.stream.version(), "TLSv1.3")
        [summary] = json.loads(client.ask("summary"))
        self.assertEqual((summary["status"], summary["session_count"]), ("active", 0))
        self.assertEqual(client.ask("version"), summary["version"])
        self.assertEqual(client.ask("sessions"), "[]")
        for unknown in ("restart", "", "update", "SUMMARY", "summary now"):
            self.assertEqual(client.ask(unknown), "error")
        client.stream.sendall(b"summary\nversion\r\nquit\r\n")
        self.assertEqual((json.loads(client.line())[0]["status"], client.line()),
                         ("active", summary["version"]))
        self.assertTrue(client.ended())
        self.assertIn("not a command; write summary, sessions, version or quit", self.relay.text())

        older = self.connect_tls(self.client, ssl.TLSVersion.TLSv1_2)
        self.assertEqual((older.stream.version(), older.ask("sessions")), ("TLSv1.2", "[]"))
        self.relay.check_stop()

    def test_requests_of_the_dispatcher_are_errors(self):
        self.start()
        client = self.connect_tls(self.client)
        for line in ("update", "type: request", "call_id: c", "remove"):
            self.assertEqual(client.ask(line), "error")
        with self.assertRaises(Refused):
            self.relay.ng.command("query", call_id="c")

    def test_openssl_s_client_is_served(self):
        self.start()
        with self.bed.relay:
            certificate, key = self.client
            done = subprocess.run(
                ["openssl", "s_client", "-quiet", "-verify_return_error", "-connect",
                 f"127.0.0.1:{TLS_PORT}", "-CAfile", self.authority.certificate, "-cert",
                 certificate, "-key", key], input=b"summary\nexit\n", capture_output=True,
                timeout=10 * SLOWNESS, check=False)
        self.assertEqual(json.loads(done.stdout)[0]["status"], "active", done.stderr)

    def test_clients_without_an_accepted_certificate_are_refused(self):
        revoked = self.authority.issue("revoked", "/O=Example, Inc/CN=revoked.example.com")
        expired = self.authority.issue("expired", "/O=Example, Inc/CN=old.example.com", days=-1)
        certificates = self.folder / "authority.pem"
        certificates.write_text(self.authority.certificate.read_text(encoding="ascii") +
                                self.authority.revoke(revoked[0]).read_text(encoding="ascii"),
                                encoding="ascii")
        other = Authority(self.folder, "other").issue("stranger",
                                                      "/C=NL/O=Example, Inc/CN=web.example.com")
        itself = (self.authority.certificate, self.folder / "authority.key")
        self.start(self.tls(authority=str(certificates),
                            passport=r"O:Example\, Inc, CN:*.example.com"))
        self.assert_refused("peer did not return a certificate")
        self.assert_refused("unable to get local issuer certificate", other)
        self.assert_refused("certificate revoked", revoked)
        self.assert_refused("certificate has expired", expired)
        self.assert_refused("'CN = authority': does not match O:Example, Inc of passport", itself)
        self.assert_refused("does not match CN:*.example.com of passport",
                            self.authority.issue("near", "/O=Example, Inc/CN=example.com"))
        with warnings.catch_warnings(action="ignore"):  # of the deprecated version
            self.assert_refused("unsupported protocol", self.client, ssl.TLSVersion.TLSv1_1)
        stream = self.connect(TLS_PORT)
        stream.sendall(b"summary\r\nsummary\r\n")
        self.assertTrue(Client(stream).ended())
        self.wait_for(lambda: "wrong version number" in self.relay.text(), "plain text refused")
        self.connect(TLS_PORT).close()
        self.wait_for(lambda: "TLS: the client ended the handshake" in self.relay.text(), "end logged")

        self.assertEqual(self.connect_tls(self.client).ask("sessions"), "[]")
        self.relay.check_stop()

    def test_slow_handshake_ends(self):
        self.start()
        began = time.monotonic()
        silent, partial = self.connect(TLS_PORT), self.connect(TLS_PORT)
        partial.sendall(b"\x16\x03\x01")  # the start of a record
        for stream in (silent, partial):
            stream.settimeout(15 * SLOWNESS)
            self.assertTrue(Client(stream).ended())
        self.assertGreater(time.monotonic() - began, 9)
        self.assertEqual(self.relay.text().count("TLS handshake not finished in time"), 2)

    def test_number_of_clients_is_limited(self):
        self.start()
        clients = [self.connect_tls(self.client) for _ in range(MAX_CLIENTS)]
        for client in clients:
            self.assertEqual(client.ask("sessions"), "[]")
        self.assertTrue(Client(self.connect(TLS_PORT)).ended())
        self.assertIn("too many TCP connections", self.relay.text())
        self.relay.ng.command("ping")
        clients.pop().stream.close()
        self.wait_for(lambda: not self.refuses(), "a place is free again")

    def refuses(self):
        try:
            return self.connect_tls(self.client).ask("sessions") != "[]"
        except (OSError, EOFError):
            return True

    def test_all_sessions_arrive_whatever_the_pace(self):
        self.start()
        self.make_calls(600)
        client = self.connect_tls(self.client)
        client.stream.sendall(b"sessions\r\n" * 8)  # more than the socket holds
        time.sleep(0.2)
        for _ in range(8):
            sessions = json.loads(client.line())
            self.assertEqual({session["call_id"] for session in sessions},
                             {f"c{number}" for number in range(600)})
        self.assertEqual(json.loads(client.ask("summary"))[0]["session_count"], 600)
        # Its request is the last that it sends, as of `echo sessions | ...`.
        client.stream.sendall(b"sessions\r\nquit\r\n")
        self.assertEqual(len(json.loads(client.line())), 600)
        self.assertTrue(client.ended())
        self.relay.check_stop()

    def test_plain_tcp_on_loopback(self):
        self.start({"protocol": "mediaproxy-management", "tcp": f"127.0.0.1:{TCP_PORT}"})
        client = Client(self.connect(TCP_PORT))
        self.assertEqual(json.loads(client.ask("summary"))[0]["status"], "active")
        client.stream.sendall(b"sessions\r\n")
        client.stream.shutdown(socket.SHUT_WR)
        self.assertEqual(client.line(), "[]")
        self.assertTrue(client.ended())
        endless = Client(self.connect(TCP_PORT))
        endless.stream.sendall(b"x" * 16384)
        self.assertEqual(endless.line(), "error")
        self.assertTrue(endless.ended())
        self.relay.check_stop()

    def test_unusable_files_are_named_with_the_remedy(self):
        certificate, key = self.server
        encrypted = self.folder / "encrypted.key"
        subprocess.run(["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:x", "-out",
                        encrypted], check=True, capture_output=True)
        missing = "/nonexistent/relay.pem"
        crl = self.authority.revoke(self.authority.issue("gone", "/CN=gone")[0])
        for name, file, fault in (
                ("certificate", missing, "No such file or directory; write the path of a file that "
                 "Millrace's user may read"),
                ("certificate", key, "write a certificate in PEM, and its chain after it"),
                ("private_key", missing, "No such file or directory"),
                ("private_key", certificate, "write a key in PEM, not encrypted"),
                ("private_key", encrypted, "write a key in PEM, not encrypted"),
                ("private_key", self.client[1], f"write the key of certificate {certificate}"),
                ("authority", missing, "No such file or directory"),
                ("authority", key, "write the certificates of the clients' CAs in PEM"),
                ("authority", crl, "write the certificates of the clients' CAs in PEM")):
            relay = self.new_relay({"control": [self.tls(**{name: str(file)})]})
            with self.subTest(key=name, file=file):
                with self.bed.relay:
                    checked = subprocess.run([PROGRAM, "--config", relay.config, "--check"],
                                             capture_output=True, text=True, check=False)
                self.assertEqual(checked.returncode, 2)
                self.assertEqual(relay.spawn().wait(10 * SLOWNESS), 1)
                for text in (checked.stderr, relay.text()):
                    self.assertIn(f"control socket tls:127.0.0.1:{TLS_PORT}: {name} {file}: ", text)
                    self.assertIn(fault, text)

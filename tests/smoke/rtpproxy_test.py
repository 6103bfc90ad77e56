# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Kamailio with configs/kamailio-rtpproxy.cfg and its own rtpproxy module."""

import itertools
import pathlib
import re
import shutil
import socket
import tempfile
import time
import types
import unittest

from smoke.bed import Case
from smoke.phone import receive
from smoke.proxy import ROOT, Children, start_kamailio
from smoke.relay import SLOWNESS

CONFIG = ROOT / "configs" / "kamailio-rtpproxy.cfg"
PROXY, RTPP_UDP = ("127.0.0.1", 5060), 22222


class Agent:
    """A SIP phone on the proxy's loopback; its media is another matter (Phone)."""

    serial = itertools.count(1)

    def __init__(self, space, name, port):
        self.name, self.port = name, port
        with space:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(10 * SLOWNESS)
        self.peer = None  # of the dialog: its Contact

    def close(self):
        self.socket.close()

    def receive(self, expected):
        """The next message that is neither a 100 nor a keepalive, which must start as expected."""
        while True:
            message = self.socket.recv(65536).decode()
            if message.startswith("OPTIONS"):
                self.reply(message, "200 OK")
            elif message.strip() and not message.startswith("SIP/2.0 100"):
                assert message.startswith(expected), message
                return message

    def request(self, method, to, call_id, tags=("", ""), routes=(), body="", uri=None):
        branch = f"z9hG4bK{self.port}{next(self.serial)}"
        lines = [f"{method} {uri or f'sip:{to}@127.0.0.1'} SIP/2.0",
                 f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch}",
                 "Max-Forwards: 70", *(f"Route: {route}" for route in routes),
                 f"From: <sip:{self.name}@127.0.0.1>;tag={tags[0]}",
                 f"To: <sip:{to}@127.0.0.1>" + (f";tag={tags[1]}" if tags[1] else ""),
                 f"Call-ID: {call_id}", f"CSeq: {next(self.serial)} {method}",
                 f"Contact: <sip:{self.name}@127.0.0.1:{self.port}>"]
        if body:
            lines.append("Content-Type: application/sdp")
        lines += [f"Content-Length: {len(body)}", "", body]
        self.socket.sendto("\r\n".join(lines).encode(), PROXY)

    def reply(self, request, status, body="", tag=""):
        kept = re.findall(r"^(?:Via|Record-Route|From|To|Call-ID|CSeq):.*$", request,
                          re.MULTILINE)
        lines = [f"SIP/2.0 {status}"]
        for line in (each.rstrip("\r") for each in kept):
            lines.append(line + (f";tag={tag}" if tag and line.startswith("To:") and
                                 ";tag=" not in line else ""))
        lines.append(f"Contact: <sip:{self.name}@127.0.0.1:{self.port}>")
        if body:
            lines.append("Content-Type: application/sdp")
        lines += [f"Content-Length: {len(body)}", "", body]
        self.socket.sendto("\r\n".join(lines).encode(), PROXY)


def sdp_of(message):
    return message.partition("\r\n\r\n")[2]


def contact(message):
    return re.search(r"^Contact: <([^>]*)>", message, re.MULTILINE)[1]


def routes(message):
    return re.findall(r"^Record-Route: (.*?)\r?$", message, re.MULTILINE)


@unittest.skipUnless(shutil.which("kamailio"), "no kamailio here: install it")
class RtpproxyTest(Case):
    def start(self, transport):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-rtpp-"))
        unix = folder / "rtpp.sock"
        self.relay = self.new_relay({"control": [
            {"protocol": "rtpp", "path": str(unix)},
            {"protocol": "rtpp", "udp": f"127.0.0.1:{RTPP_UDP}"}]}, folder=folder)
        self.relay.start()
        self.log = folder / "kamailio.log"
        relay = f"unix:{unix}" if transport == "unix" else f"udp:127.0.0.1:{RTPP_UDP}"
        children = Children(folder)
        self.addCleanup(children.close)
        start_kamailio(children, self.bed.relay, CONFIG, f"MR_LISTEN=udp:{PROXY[0]}:{PROXY[1]}",
                       "MR_WORKERS=2", f'MR_RTPPROXY="{relay}"')
        self.a, self.b = Agent(self.bed.relay, "a", 5070), Agent(self.bed.relay, "b", 5080)
        self.addCleanup(self.a.close)
        self.addCleanup(self.b.close)
        self.register(self.b)
        self.caller, self.callee = self.phones()
        self.pair = types.SimpleNamespace(caller=self.caller, callee=self.callee)

    def register(self, agent):
        patience, deadline = agent.socket.gettimeout(), time.monotonic() + 10 * SLOWNESS
        agent.socket.settimeout(0.3)
        while True:
            agent.request("REGISTER", agent.name, f"register-{agent.name}", ("r", ""))
            try:
                agent.receive("SIP/2.0 200")
                break
            except (TimeoutError, ConnectionError):
                if time.monotonic() > deadline:
                    raise RuntimeError(self.log.read_text("utf-8", "replace")[-4000:]) from None
        agent.socket.settimeout(patience)

    def call(self, call_id):
        """An answered call; the phones know where to send."""
        self.a.request("INVITE", "b", call_id, ("ta", ""), body=self.caller.sdp())
        invite = self.b.receive("INVITE")
        self.callee.connect(sdp_of(invite))
        self.b.reply(invite, "180 Ringing", tag="tb")
        self.a.receive("SIP/2.0 180")
        self.b.reply(invite, "200 OK", self.callee.sdp(), tag="tb")
        answer = self.a.receive("SIP/2.0 200")
        self.caller.connect(sdp_of(answer))
        self.a.peer, self.a.routes = contact(answer), routes(answer)[::-1]
        self.b.peer, self.b.routes = contact(invite), routes(invite)
        self.in_dialog(self.a, "ACK", call_id)
        self.b.receive("ACK")
        return invite, answer

    def in_dialog(self, agent, method, call_id, body=""):
        tags, to = (("ta", "tb"), "b") if agent is self.a else (("tb", "ta"), "a")
        agent.request(method, to, call_id, tags, agent.routes, body, agent.peer)

    def reinvite(self, call_id, offer):
        """The caller's new offer; returns the SDP that the callee and the caller get to see."""
        self.in_dialog(self.a, "INVITE", call_id, offer)
        invite = self.b.receive("INVITE")
        self.b.reply(invite, "200 OK", self.callee.sdp(), tag="tb")
        answer = self.a.receive("SIP/2.0 200")
        self.in_dialog(self.a, "ACK", call_id)
        self.b.receive("ACK")
        return sdp_of(invite), sdp_of(answer)

    def calls(self):
        return self.relay.ng.command("list")["calls"]

    def whole_call(self, transport):
        self.start(transport)
        invite, answer = self.call("whole")
        self.assertNotIn(f"c=IN IP4 {self.caller.address}", invite)
        self.assertNotIn(f"c=IN IP4 {self.callee.address}", answer)
        self.assertEqual(self.calls(), ["whole"])
        self.assert_open(self.pair)
        self.assert_both_ways(self.caller, self.callee)

        held, _ = self.reinvite("whole", self.caller.sdp("sendonly", address="0.0.0.0"))
        self.assertIn("c=IN IP4 0.0.0.0", held)
        self.caller.drain()
        for _ in range(10):
            self.callee.send()
        self.assert_silent(receive(self.caller.rtp, 0.3), "heard while holding")

        resumed, _ = self.reinvite("whole", self.caller.sdp())
        self.assertEqual(re.findall("^[cm]=.*", resumed, re.MULTILINE),
                         re.findall("^[cm]=.*", sdp_of(invite), re.MULTILINE))
        self.assert_open(self.pair)
        self.assert_both_ways(self.caller, self.callee)

        self.in_dialog(self.b, "BYE", "whole")
        self.a.reply(self.a.receive("BYE"), "200 OK")
        self.b.receive("SIP/2.0 200")
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()

    def test_whole_call_over_a_unix_socket(self):
        self.whole_call("unix")

    def test_whole_call_over_udp(self):
        self.whole_call("udp")

    def test_a_refused_call_frees_its_ports(self):
        self.start("unix")
        self.a.request("INVITE", "b", "refused", ("ta", ""), body=self.caller.sdp())
        invite = self.b.receive("INVITE")
        self.assertEqual(self.calls(), ["refused"])
        self.b.reply(invite, "486 Busy Here", tag="tb")
        self.b.receive("ACK")
        self.a.receive("SIP/2.0 486")
        self.assertEqual(self.calls(), [])

    def test_without_a_relay_the_caller_hears_so_at_once(self):
        self.start("unix")
        self.relay.check_stop()
        begin = time.monotonic()
        self.a.request("INVITE", "b", "no-relay", ("ta", ""), body=self.caller.sdp())
        self.a.receive("SIP/2.0 503")
        self.assertLess(time.monotonic() - begin, 1.0 * SLOWNESS)

    def test_one_command_a_connection_or_many_lines(self):
        self.start("unix")
        for text, reply, stays in ((b"V", b"20040107\n", False), (b"V\n", b"20040107\n", True)):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.addCleanup(client.close)
            client.settimeout(5)
            client.connect(str(self.relay.folder / "rtpp.sock"))
            client.send(text)
            self.assertEqual(client.recv(255), reply)
            if stays:
                client.send(b"VF 20050322\nVF 2007")
                self.assertEqual(client.recv(255), b"1\n")
                client.send(b"1116\n")
                self.assertEqual(client.recv(255), b"0\n")
            else:
                self.assertEqual(client.recv(255), b"")

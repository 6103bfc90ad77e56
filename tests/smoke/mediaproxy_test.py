# SPDX-License-Identifier: BSD-3-Clause
"""Kamailio's own mediaproxy module, with the example configuration that is shipped."""

import itertools
import json
import re
import shutil
import signal
import socket
import time
import types
import unittest

from smoke.bed import Case
from smoke.phone import endpoints, heard
from smoke.proxy import ROOT, Children, start_kamailio
from smoke.relay import ADDRESS, SECOND_ADDRESS, SLOWNESS

CONFIG = ROOT / "configs" / "kamailio-mediaproxy.cfg"
PROXY = ("127.0.0.1", 5060)


class Agent:
    """A SIP phone's signalling, beside the proxy; `phone` is its media."""

    numbers = itertools.count(1)

    def __init__(self, space, name, port, phone):
        with space:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.name, self.port, self.phone = name, port, phone
        self.uri = f"sip:{name}@127.0.0.1:{port}"
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(5 * SLOWNESS)

    def close(self):
        self.socket.close()

    def receive(self, *skipped):
        """The next message that does not begin with one of these."""
        while True:
            message = self.socket.recv(65536).decode()
            if not message.startswith(skipped or ("\0",)):
                return message

    def send(self, first, headers, sdp=""):
        content = ["Content-Type: application/sdp"] if sdp else []
        lines = [first, *headers, *content, f"Content-Length: {len(sdp)}", "", sdp]
        self.socket.sendto("\r\n".join(lines).encode(), PROXY)

    def request(self, method, target, dialog, cseq, sdp=""):
        """`dialog` holds From, To, Call-ID and Route headers."""
        self.send(f"{method} {target} SIP/2.0",
                  [f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{next(self.numbers)}",
                   *dialog, f"CSeq: {cseq} {method}", "Max-Forwards: 70",
                   f"Contact: <{self.uri}>"], sdp)

    def reply(self, request, status, tag, sdp=""):
        copied = re.findall(r"^(?:Via|Record-Route|From|Call-ID|CSeq): [^\r]*", request, re.M)
        to = re.search(r"^To: ([^\r]*)", request, re.M)[1]
        to += "" if "tag=" in to else f";tag={tag}"
        self.send(f"SIP/2.0 {status}", [*copied, f"To: {to}", f"Contact: <{self.uri}>"], sdp)

    def register(self):
        """Until the proxy is up; False: it refused."""
        identity = f"<sip:{self.name}@127.0.0.1>"
        for _ in range(50 * SLOWNESS):
            self.socket.settimeout(0.2)
            self.request("REGISTER", "sip:127.0.0.1", [
                f"From: {identity};tag=r", f"To: {identity}", f"Call-ID: r-{self.name}"], 1)
            try:
                return self.receive().startswith("SIP/2.0 200")
            except TimeoutError:
                continue
            finally:
                self.socket.settimeout(5 * SLOWNESS)
        return False


def body(message):
    return message.partition("\r\n\r\n")[2]


class Dialog:
    """A call between two agents through the proxy."""

    def __init__(self, caller, callee):
        self.caller, self.callee = caller, callee
        number = next(Agent.numbers)
        self.call_id, self.tags = f"call-{number}", (f"a{number}", f"b{number}")
        self.cseq = {caller: 0, callee: 100}
        self.routes = []

    def _headers(self, agent):
        """From, To and the rest for a request of `agent`."""
        names = (self.caller.name, self.callee.name)
        mine, other = (0, 1) if agent is self.caller else (1, 0)
        answered = bool(self.routes)
        tag = f";tag={self.tags[other]}" if answered else ""
        return [f"From: <sip:{names[mine]}@127.0.0.1>;tag={self.tags[mine]}",
                f"To: <sip:{names[other]}@127.0.0.1>{tag}", f"Call-ID: {self.call_id}",
                *(f"Route: {route}" for route in self.routes)]

    def _invite(self, agent, target, direction):
        self.cseq[agent] += 1
        agent.request("INVITE", target, self._headers(agent), self.cseq[agent],
                      agent.phone.sdp(direction))

    def set_up(self, agent=None, directions=("sendrecv", "sendrecv")):
        """An INVITE, its 200 and its ACK; both phones send where they are told from then on.

        Returns the SDP of the offer and of the answer as their readers saw them.
        """
        agent = agent or self.caller
        other = self.callee if agent is self.caller else self.caller
        target = other.uri if self.routes else f"sip:{other.name}@127.0.0.1"
        self._invite(agent, target, directions[0])
        offered = other.receive()
        assert offered.startswith("INVITE"), offered
        other.reply(offered, "200 OK", self.tags[1], other.phone.sdp(directions[1]))
        answered = agent.receive("SIP/2.0 100")
        assert answered.startswith("SIP/2.0 200"), answered
        if not self.routes:
            self.routes = re.findall(r"^Record-Route: ([^\r]*)", answered, re.M)
        agent.request("ACK", other.uri, self._headers(agent), self.cseq[agent])
        assert other.receive().startswith("ACK")
        other.phone.connect(body(offered))
        agent.phone.connect(body(answered))
        return body(offered), body(answered)

    def bye(self):
        self.cseq[self.caller] += 1
        self.caller.request("BYE", self.callee.uri, self._headers(self.caller),
                            self.cseq[self.caller])
        request = self.callee.receive()
        assert request.startswith("BYE"), request
        self.callee.reply(request, "200 OK", self.tags[1])
        assert self.caller.receive().startswith("SIP/2.0 200")

    def refused(self):
        """The status line that answers an INVITE which the proxy does not pass on."""
        self._invite(self.caller, f"sip:{self.callee.name}@127.0.0.1", "sendrecv")
        answer = self.caller.receive("SIP/2.0 100")
        self.caller.request("ACK", f"sip:{self.callee.name}@127.0.0.1", self._headers(self.caller),
                            self.cseq[self.caller])
        return answer.partition("\r\n")[0]


@unittest.skipUnless(shutil.which("kamailio"), "no kamailio here: install it")
class MediaproxyTest(Case):
    def setUp(self):
        super().setUp()
        self.relay = self.new_relay().start()
        children = Children(self.relay.folder)
        self.addCleanup(children.close)
        start_kamailio(children, self.bed.relay, CONFIG, "MR_LISTEN=udp:127.0.0.1:5060",
                       "MR_WORKERS=2", f'MR_MEDIAPROXY="{self.relay.mediaproxy_socket}"')
        caller, callee = self.phones()
        self.pair = types.SimpleNamespace(caller=caller, callee=callee)
        self.alice = Agent(self.bed.relay, "alice", 5070, caller)
        self.bob = Agent(self.bed.relay, "bob", 5080, callee)
        self.addCleanup(self.alice.close)
        self.addCleanup(self.bob.close)
        self.assertTrue(self.bob.register())

    def ask(self, line):
        """A management command's answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            client.connect(str(self.relay.mediaproxy_socket))
            client.sendall(line.encode() + b"\r\n")
            answer = b""
            while not answer.endswith(b"\r\n"):
                answer += client.recv(65536)
        return json.loads(answer)

    def assert_talking(self):
        self.assert_open(self.pair)
        self.assert_both_ways(self.pair.caller, self.pair.callee)

    def stream(self):
        """The one stream of the one session."""
        [session] = self.ask("sessions")
        [stream] = session["streams"]
        return stream

    def test_call_with_hold_resume_and_bye(self):
        dialog = Dialog(self.alice, self.bob)
        offered, answered = dialog.set_up()
        for sdp in (offered, answered):
            self.assertIn(endpoints(sdp)[0][0], (ADDRESS, SECOND_ADDRESS))
        self.assert_talking()
        [session] = self.ask("sessions")
        self.assertEqual((session["call_id"], session["from_tag"], session["to_tag"]),
                         (dialog.call_id, *dialog.tags))
        self.assertEqual(session["streams"][0]["status"], "active")
        self.assertGreaterEqual(session["streams"][0]["caller_packets"], 20)
        self.assertGreaterEqual(session["streams"][0]["callee_packets"], 20)

        held = dialog.set_up(directions=("sendonly", "recvonly"))
        self.assertEqual([endpoints(sdp) for sdp in held],
                         [endpoints(sdp) for sdp in (offered, answered)])
        self.assertEqual(self.stream()["status"], "on hold")
        self.assert_heard(*heard(self.alice.phone, self.bob.phone))  # music on hold

        resumed = dialog.set_up(self.bob)  # the callee takes it up again
        self.assertEqual([endpoints(sdp) for sdp in resumed],
                         [endpoints(sdp) for sdp in (answered, offered)])
        self.assertEqual(self.stream()["status"], "active")
        self.assert_talking()

        dialog.bye()
        [summary] = self.ask("summary")
        self.assertEqual((summary["session_count"], summary["stream_count"]), (0, {}))
        self.relay.check_stop()

    def test_drain_ends_with_the_last_call(self):
        dialog = Dialog(self.alice, self.bob)
        dialog.set_up()
        self.relay.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 5 * SLOWNESS
        while self.ask("summary")[0]["status"] != "halting":
            self.assertLess(time.monotonic(), deadline)
        self.assertIn("503", Dialog(self.alice, self.bob).refused())
        self.assert_talking()
        self.assertIsNone(self.relay.process.poll())
        dialog.bye()
        self.assertEqual(self.relay.process.wait(5 * SLOWNESS), 0)

    def test_without_the_relay_calls_are_refused(self):
        self.relay.check_stop()
        self.assertIn("503", Dialog(self.alice, self.bob).refused())

# SPDX-License-Identifier: BSD-3-Clause
"""Two SIP phones, alice and bob, on a Kamailio beside the relay. Signalling is on loopback."""

import itertools
import re
import shutil
import socket
import time
import types
import unittest

from smoke.bed import Case
from smoke.phone import endpoints, family, receive, transfer
from smoke.proxy import Children, start_kamailio
from smoke.relay import SLOWNESS

PROXY = ("127.0.0.1", 5060)
NOWHERE = "unix:/nonexistent/relay.sock"


class Agent:
    """The signalling of a phone; `phone` is its media."""

    numbers = itertools.count(1)
    patience = 10 * SLOWNESS

    def __init__(self, space, name, host, port, phone, domain=PROXY[0]):
        with space:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.name, self.host, self.port, self.phone = name, host, port, phone
        self.domain, self.address = domain, f"sip:{name}@{domain}"
        self.contact = f"Contact: <sip:{name}@{host}:{port}>"
        self.headers = []  # more of them, in all its messages
        self.socket.bind((host, port))
        self.socket.settimeout(self.patience)

    def close(self):
        self.socket.close()

    def receive(self, expected, passing=""):
        """The next message other than a 100 or a keepalive; it must start with `expected`.

        Messages that start with `passing` are skipped.
        """
        while True:
            message = self.socket.recv(65536).decode()
            if message.startswith("OPTIONS"):
                self.reply(message, "200 OK")
            elif passing and message.startswith(passing):
                continue
            elif message.strip() and not message.startswith("SIP/2.0 100"):
                assert message.startswith(expected), message
                return message

    def send(self, first, headers, sdp="", kind="sdp"):
        content = [f"Content-Type: application/{kind}"] if sdp else []
        lines = [first, *headers, self.contact, *self.headers, *content,
                 f"Content-Length: {len(sdp)}", "", sdp]
        self.last = "\r\n".join(lines).encode()
        self.socket.sendto(self.last, PROXY)

    def repeat(self):
        """Retransmits the last message."""
        self.socket.sendto(self.last, PROXY)

    def acknowledge(self):
        """Sends the ACK to an error reply; the last message sent was its INVITE."""
        head = self.last.decode().partition("\r\n\r\n")[0].replace("INVITE", "ACK")
        lines = [line for line in head.split("\r\n") if not line.startswith("Content-")]
        self.socket.sendto("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode(), PROXY)

    def request(self, method, target, dialog, cseq, sdp="", kind="sdp"):
        """`dialog` holds From, To, Call-ID and Route headers."""
        via = f"Via: SIP/2.0/UDP {self.host}:{self.port};branch=z9hG4bK{next(self.numbers)}"
        self.send(f"{method} {target} SIP/2.0",
                  [via, *dialog, f"CSeq: {cseq} {method}", "Max-Forwards: 70"], sdp, kind)

    def reply(self, request, status, tag="", sdp=""):
        copied = re.findall(r"^(?:Via|Record-Route|From|Call-ID|CSeq): [^\r]*", request, re.M)
        to = re.search(r"^To: ([^\r]*)", request, re.M)[1]
        if tag and "tag=" not in to:
            to += f";tag={tag}"
        self.send(f"SIP/2.0 {status}", [*copied, f"To: {to}"], sdp)

    def register(self):
        """Sends REGISTER until the proxy accepts it. False: it did not within `patience`."""
        deadline = time.monotonic() + self.patience
        self.socket.settimeout(0.3)
        for cseq in itertools.count(1):
            self.request("REGISTER", f"sip:{self.domain}",
                         [f"From: <{self.address}>;tag=r", f"To: <{self.address}>",
                          f"Call-ID: register-{self.name}"], cseq)
            try:
                self.receive("SIP/2.0 200")
                break
            except (TimeoutError, ConnectionError):
                if time.monotonic() > deadline:
                    return False
        self.socket.settimeout(self.patience)
        return True


def body(message):
    return message.partition("\r\n\r\n")[2]


def contact(message):
    return re.search(r"^Contact: <([^>]*)>", message, re.M)[1]


def routes(message):
    return re.findall(r"^Record-Route: ([^\r]*)", message, re.M)


class Dialog:
    """A call between two agents through the proxy."""

    def __init__(self, caller, callee):
        self.caller, self.callee = caller, callee
        number = next(Agent.numbers)
        self.call_id, self.tags = f"call-{number}", {caller: f"a{number}", callee: f"b{number}"}
        self.cseq = {caller: 0, callee: 100}
        # Remote target and route set of each agent, from the 200 on (RFC 3261 section 12.1).
        self.targets, self.routes = {}, {}

    def other(self, agent):
        return self.callee if agent is self.caller else self.caller

    def request(self, agent, method, sdp="", kind="sdp"):
        other = self.other(agent)
        self.cseq[agent] += method != "ACK"
        tag = f";tag={self.tags[other]}" if self.targets else ""
        agent.request(method, self.targets.get(agent, other.address),
                      [f"From: <{agent.address}>;tag={self.tags[agent]}",
                       f"To: <{other.address}>{tag}", f"Call-ID: {self.call_id}",
                       *(f"Route: {route}" for route in self.routes.get(agent, ()))],
                      self.cseq[agent], sdp, kind)

    def set_up(self, agent=None, offer=None, answer=None):
        """INVITE, 200 and ACK, started by `agent` (the caller); after the first, a re-INVITE.

        Both phones send media to the endpoints of the first offer and answer. Returns the SDP of
        the offer and of the answer as they were received.
        """
        agent = agent or self.caller
        other, first = self.other(agent), not self.targets
        self.request(agent, "INVITE", offer or agent.phone.sdp())
        offered = other.receive("INVITE")
        if first:
            other.reply(offered, "180 Ringing", self.tags[other])
            agent.receive("SIP/2.0 180")
        other.reply(offered, "200 OK", self.tags[other], answer or other.phone.sdp())
        answered = agent.receive("SIP/2.0 200")
        if first:
            self.established(agent, offered, answered)
        self.request(agent, "ACK")
        other.receive("ACK")
        return body(offered), body(answered)

    def established(self, agent, offered, answered):
        """Stores targets, routes and media endpoints from an INVITE by `agent` and its 200."""
        other = self.other(agent)
        self.targets = {agent: contact(answered), other: contact(offered)}
        self.routes = {agent: routes(answered)[::-1], other: routes(offered)}
        other.phone.connect(body(offered))
        agent.phone.connect(body(answered))

    def bye(self, agent=None):
        agent = agent or self.caller
        other = self.other(agent)
        self.request(agent, "BYE")
        other.reply(other.receive("BYE"), "200 OK")
        agent.receive("SIP/2.0 200")

    def refused(self):
        """Sends an INVITE that the proxy refuses; returns the status line."""
        self.request(self.caller, "INVITE", self.caller.phone.sdp())
        answer = self.caller.receive("SIP/2.0 ")
        self.request(self.caller, "ACK")
        return answer.partition("\r\n")[0]


@unittest.skipUnless(shutil.which("kamailio"), "kamailio is not installed")
class SipCase(Case):
    """Tests that start a relay and a proxy of their own."""

    host = "127.0.0.1"  # source address of the phones' signalling
    domain = PROXY[0]  # domain of their SIP addresses

    def start_proxy(self, config, *defines, phones=None):
        """Starts Kamailio for `self.relay` and both agents; waits until the proxy answers."""
        self.start_agents(config, f"MR_ADDRESS={PROXY[0]}", "MR_WORKERS=2", *defines,
                          phones=phones)
        self.wait_for_proxy()

    def wait_for_proxy(self):
        log = self.relay.folder / "kamailio.log"
        self.assertTrue(self.bob.register(), log.read_text("utf-8", "replace")[-4000:])

    def start_agents(self, config, *defines, phones=None):
        """Starts Kamailio and both agents without waiting for the proxy."""
        children = Children(self.relay.folder)
        self.addCleanup(children.close)
        start_kamailio(children, self.bed.relay, config, *defines)
        caller, callee = phones or self.phones()
        self.pair = types.SimpleNamespace(caller=caller, callee=callee)
        self.alice = Agent(self.bed.relay, "alice", self.host, 5070, caller, self.domain)
        self.addCleanup(self.alice.close)
        self.bob = Agent(self.bed.relay, "bob", self.host, 5080, callee, self.domain)
        self.addCleanup(self.bob.close)

    def assert_talking(self):
        self.assert_open(self.pair)
        self.assert_both_ways(self.pair.caller, self.pair.callee)

    def refuse(self, dialog):
        """The callee refuses the call with 486."""
        dialog.request(dialog.caller, "INVITE", dialog.caller.phone.sdp())
        invite = dialog.callee.receive("INVITE")
        self.assertEqual(self.calls(), [dialog.call_id])
        dialog.callee.reply(invite, "486 Busy Here", "busy")
        dialog.callee.receive("ACK")
        dialog.caller.receive("SIP/2.0 486")

    def calls(self):
        return self.relay.ng.command("list")["calls"]

    def assert_same_ports(self, sdps, others):
        self.assertEqual([endpoints(sdp) for sdp in sdps], [endpoints(sdp) for sdp in others])

    def whole_call(self):
        """A call with RTP, RTCP, hold, resume and rebinding; returns both relay addresses."""
        caller, callee = self.pair.caller, self.pair.callee
        dialog = Dialog(self.alice, self.bob)
        first = dialog.set_up()
        for sdp, sender in zip(first, (caller, callee)):
            self.assertNotIn(f"c=IN {family(sender.address)} {sender.address}\r", sdp)
        self.assertEqual(self.calls(), [dialog.call_id])
        self.assert_talking()
        for sender, receiver in ((caller, callee), (callee, caller)):
            report = sender.send_rtcp()
            self.assert_received([report], receive(receiver.rtcp, 2.0, 1), source=receiver.rtcp_to)

        held = dialog.set_up(offer=caller.sdp("sendonly"), answer=callee.sdp("recvonly"))
        self.assert_same_ports(held, first)
        self.assertIn("a=sendonly\r", held[0])
        self.assert_received(*transfer(caller, callee))  # music on hold

        nowhere = {"IP4": "0.0.0.0", "IP6": "::"}  # hold by address (RFC 2543)
        held = dialog.set_up(offer=caller.sdp("inactive", nowhere[family(caller.address)]))
        kept = family(caller.address) == family(callee.address)
        self.assertIn(f" {nowhere[family(callee.address)]}\r" if kept else "a=inactive\r", held[0])
        caller.drain()
        for _ in range(10):
            callee.send()
        self.assert_silent(receive(caller.rtp, 0.3), "media relayed to a party on hold")

        resumed = dialog.set_up(self.bob)  # the callee resumes the call
        self.assert_same_ports(resumed, first[::-1])
        self.assert_talking()

        caller.rebind()  # the next re-INVITE announces the new port
        self.assert_same_ports(dialog.set_up(), first)
        self.assert_talking()

        dialog.bye(self.bob)
        self.assertEqual(self.calls(), [])
        return caller.to[0], callee.to[0]


class EitherTransport:
    """Mix-in for a SipCase whose module supports UNIX sockets and UDP.

    Its start() takes the transport, and `near` and `remote` in place of the relay's socket:
    `remote` serves callers of `network`, `near` all others.
    """

    def test_whole_call_over_a_unix_socket(self):
        self.start("unix")
        self.whole_call()
        self.relay.check_stop()

    def test_whole_call_over_udp(self):
        self.start("udp")
        self.whole_call()
        self.relay.check_stop()

    def test_remote_relay_carries_calls_of_its_network(self):
        self.start("unix", near=NOWHERE, network="127.0.0.0/8")
        self.whole_call()
        self.refuse(Dialog(self.alice, self.bob))
        self.assertEqual(self.calls(), [])
        self.relay.check_stop()

    def test_remote_relay_gets_no_calls_of_other_networks(self):
        self.start("unix", remote=NOWHERE)
        self.whole_call()
        self.relay.check_stop()

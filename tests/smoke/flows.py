# SPDX-License-Identifier: BSD-3-Clause
"""One Kamailio with the shipped example of a module, one relay and three phones for many flows.

Each phone signals from its own media address, so that the relay hears a true `received-from`.
"""

import pathlib
import re
import shutil
import tempfile
import types
import unittest

from smoke.bed import ATTACKER, CALLEE, CALLER, Case
from smoke.media_test import arrives
from smoke.proxy import ROOT, Children, start_kamailio
from smoke.relay import Relay
from smoke.sip import PROXY, Agent, Dialog, body

# Headers of the phones' messages choose what a carrier's own script would.
FLAGS = {
    "rtpengine": [("+ MR_OFFER_FLAGS", "+ $var(more)"),
                  ("rtpengine_delete()", 'rtpengine_delete("$var(more)")'),
                  ('"replace-origin replace-session-connection"',
                   '"replace-origin replace-session-connection $var(more)"')],
    "rtpproxy": [("    route(THAT_RELAY);\n}\n\n# The SDP of a reply",
                  '    $var(flags) = $var(flags) + $var(more);\n    route(THAT_RELAY);\n}\n\n'
                  "# The SDP of a reply")],
    "mediaproxy": [],
}
MORE = """
    $var(more) = "";
    if (is_present_hf("X-Flags")) $var(more) = $hdr(X-Flags);
"""
SERIAL = f"""failure_route[CALL_FAILED] {{
    if (t_check_status("503")) {{
        $du = "sip:{ATTACKER}:5090";
        t_on_failure("CALL_FAILED");
        route(RELAY);
    }}
"""


def script(module, folder):
    """The shipped example, with flags by header and a second phone to try after a 503."""
    text = (ROOT / "configs" / f"kamailio-{module}.cfg").read_text(encoding="ascii")
    text = re.sub("/run/(millrace|kamailio)", str(folder), text)
    for old, new in (*FLAGS[module],
                     ("request_route {", "request_route {" + MORE),
                     ("onreply_route[ANSWER] {", "onreply_route[ANSWER] {" + MORE),
                     ("failure_route[CALL_FAILED] {\n", SERIAL)):
        assert old in text, old
        text = text.replace(old, new)
    return text


@unittest.skipUnless(shutil.which("kamailio"), "kamailio is not installed")
class FlowCase(Case):
    module = None  # of Kamailio

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        space = cls.bed.relay
        # The kernel has the phones' addresses for SIP, and no business with their media.
        space.ip("link set relay0 arp off",
                 *(f"address add {address}/32 dev lo" for address in (CALLER, CALLEE, ATTACKER)))
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-flows-"))
        cls.relay = Relay(space, {"control": [
            {"protocol": "rtpp", "path": str(folder / "rtpp.sock")}]}, folder=folder)
        cls.addClassCleanup(cls.relay.close)
        cls.relay.start()
        config = folder / "kamailio.cfg"
        config.write_text(script(cls.module, folder), encoding="ascii")
        children = Children(folder)
        cls.addClassCleanup(children.close)
        start_kamailio(children, space, config, f"MR_ADDRESS={PROXY[0]}", "MR_WORKERS=2")
        cls.agents = []
        for name, address, port in (("alice", CALLER, 5070), ("bob", CALLEE, 5080),
                                    ("carol", ATTACKER, 5090)):
            agent = Agent(space, name, address, port, None)
            cls.addClassCleanup(agent.close)
            cls.agents.append(agent)
            if not agent.register():
                raise RuntimeError((folder / "kamailio.log").read_text("utf-8", "replace")[-4000:])

    @classmethod
    def tearDownClass(cls):
        cls.relay.check_stop()

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = self.agents
        for call_id in self.calls():  # of a failed test
            self.relay.ng.command("delete", call_id=call_id)
        for agent, space in zip(self.agents, (self.bed.caller, self.bed.callee, self.bed.attacker)):
            agent.headers = []
            agent.address = f"sip:{agent.name}@{PROXY[0]}"
            agent.phone = self.phone(space, agent.host)
            agent.socket.setblocking(False)
            try:
                while agent.socket.recv(65536):
                    pass
            except BlockingIOError:
                agent.socket.settimeout(agent.patience)

    def calls(self):
        return self.relay.ng.command("list")["calls"]

    def ports(self):
        return self.relay.ng.statistics()["ports"]["used"]

    def move(self, agent):
        """The agent's media goes to new ports, RTP and RTCP."""
        old = agent.phone
        agent.phone = self.phone(old.space, old.address)
        agent.phone.to, agent.phone.rtcp_to = old.to, old.rtcp_to

    def assert_media(self, one, other):
        """20 of 20 packets and RTCP, both ways."""
        self.assert_open(types.SimpleNamespace(caller=one, callee=other))
        self.assert_both_ways(one, other)
        for sender, receiver in ((one, other), (other, one)):
            sender.send_rtcp()  # latches it
        for sender, receiver in ((one, other), (other, one)):
            self.assertTrue(arrives(receiver.rtcp, sender.send_rtcp()), "RTCP")

    def talking(self, offer=None, answer=None):
        """An answered call of alice and bob with media both ways."""
        dialog = Dialog(self.alice, self.bob)
        dialog.set_up(offer=offer, answer=answer)
        self.assert_media(self.alice.phone, self.bob.phone)
        return dialog

    def end(self, dialog, agent=None):
        dialog.bye(agent)
        self.assertEqual(self.calls(), [])
        self.assertEqual(self.ports(), 0)

    def refuse(self, dialog, agent, sdp):
        """A re-INVITE by `agent` that the other party refuses."""
        other = dialog.other(agent)
        dialog.request(agent, "INVITE", sdp)
        other.reply(other.receive("INVITE"), "488 Not Acceptable Here", dialog.tags[other])
        other.receive("ACK")
        agent.receive("SIP/2.0 488")
        agent.acknowledge()

    def ring(self, dialog, status="180 Ringing", offer=None):
        """INVITE and a provisional answer; returns both as they were received."""
        caller, callee = dialog.caller, dialog.callee
        dialog.request(caller, "INVITE", offer or caller.phone.sdp())
        invite = callee.receive("INVITE")
        callee.phone.connect(body(invite))
        sdp = callee.phone.sdp() if status.startswith("183") else ""
        callee.reply(invite, status, dialog.tags[callee], sdp)
        return invite, caller.receive(f"SIP/2.0 {status[:3]}")

    def answer(self, dialog, invite, sdp=None):
        """200 and ACK of the INVITE that the callee has received."""
        caller, callee = dialog.caller, dialog.callee
        callee.reply(invite, "200 OK", dialog.tags[callee], sdp or callee.phone.sdp())
        answered = caller.receive("SIP/2.0 200")
        dialog.established(caller, invite, answered)
        dialog.request(caller, "ACK")
        callee.receive("ACK")
        return answered

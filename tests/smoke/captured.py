# SPDX-License-Identifier: BSD-3-Clause
"""Repeats the calls whose control messages were captured from the modules of Kamailio 5.6.

The captured requests are in tests/data/{ng,rtpp,mediaproxy}. The same module, driven by the same
script with the same SIP, must send the same bytes and accept Millrace's replies: each script logs
the return values of the module's functions. The SDP has the addresses of the captures, which no
host here owns, so no media flows.
"""

import re
import signal

from lab.ng import decode
from smoke.proxy import ROOT
from smoke.sip import Dialog, SipCase

DATA = ROOT / "tests" / "data"
COMMON = """#!KAMAILIO
debug=2
log_stderror=yes
children=2
disable_tcp=yes
listen=udp:127.0.0.1:5060
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
"""
# A proxy that passes both SDP bodies of a call to a relay. BYE, INVITE and REPLY stand for the
# module's functions.
ROUTES = """
request_route {
    if (!mf_process_maxfwd_header("10")) exit;
    if (has_totag()) {
        if (loose_route()) {
            AT_BYE
            t_relay();
            exit;
        }
        if (is_method("ACK")) t_relay();
        exit;
    }
    if (is_method("INVITE")) {
        record_route();
        INVITE
        $du = "sip:127.0.0.1:5080";
        t_relay();
    }
}
onreply_route[R] {
    if (has_body("application/sdp")) { REPLY }
}
"""
REGISTER = """
    if (is_method("REGISTER")) { sl_send_reply("200", "It is up"); exit; }"""


def sdps():
    """The SDP of the offer and of the answer, the same in all captured calls."""
    return [decode((DATA / "ng" / f"unix_{name}.bin").read_bytes())[0]["sdp"]
            for name in ("offer", "answer")]


def routes(modules, *, invite, reply, bye):
    """A Kamailio script that calls these functions of the module."""
    at_bye = f'if (is_method("BYE")) {{ {bye} }}' if bye else ""  # Kamailio refuses an empty block
    return modules + ROUTES.replace("AT_BYE", at_bye).replace(
        "        INVITE\n", f"        {invite}\n").replace("REPLY", reply)


class CapturedCase(SipCase):
    """The parties are alice@example.com, a sipp-uac, and bob@example.com, a sipp-uas."""

    def start_script(self, script):
        """Starts Kamailio with `script`; `LOG` after a function of the module logs its result."""
        script = script.replace("request_route {", "request_route {" + REGISTER)
        script = re.sub(r"(\w+)(\([^;{]*\)); LOG;",
                        r'\1\2; xlog("L_ERR", "returned \1 $rc\\n");', COMMON + script)
        config = self.relay.folder / "captured.cfg"
        config.write_text(script, encoding="ascii")
        self.start_agents(config)
        log = self.relay.folder / "kamailio.log"
        self.assertTrue(self.bob.register(), log.read_text("utf-8", "replace")[-4000:])
        self.read = 0
        for agent, program in ((self.alice, "sipp-uac"), (self.bob, "sipp-uas")):
            agent.address = f"sip:{agent.name}@example.com"
            agent.headers = [f"User-Agent: {program}"]

    def dialog(self, call_id, from_tag, to_tag="uastag1"):
        dialog = Dialog(self.alice, self.bob)
        dialog.call_id, dialog.tags = call_id, {self.alice: from_tag, self.bob: to_tag}
        return dialog

    def returned(self):
        """[(function, result), ...] logged since the previous call."""
        log = (self.relay.folder / "kamailio.log").read_text("utf-8", "replace")
        results = re.findall(r"returned (\w+) (-?\d+)$", log[self.read:], re.M)
        self.read = len(log)
        return [(name, int(result)) for name, result in results]

    def drain(self):
        """Makes the relay refuse new calls."""
        self.relay.process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: "drain" in self.relay.text(), "the drain")

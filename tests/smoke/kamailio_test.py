# SPDX-License-Identifier: BSD-3-Clause
"""Kamailio's rtpengine module: call set-up, statistics in script variables, blocked media."""

import itertools
import re
import shutil
import socket
import time
import unittest

from smoke.bed import RelayCase
from smoke.media_test import arrives, receiver_report, sender_report
from smoke.phone import receive, transfer
from smoke.proxy import Children, start_kamailio

PROXY, UAC, UAS = ("127.0.0.1", 5060), ("127.0.0.1", 5070), ("127.0.0.1", 5080)
CONFIG = """#!KAMAILIO
log_stderror=yes
children=1
disable_tcp=yes
listen=udp:127.0.0.1:5060
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "unix:SOCKET")
modparam("rtpengine", "mos_average_pv", "$avp(mos)")
modparam("rtpengine", "mos_average_packetloss_pv", "$avp(loss)")
modparam("rtpengine", "mos_average_jitter_pv", "$avp(jitter)")
modparam("rtpengine", "mos_average_roundtrip_pv", "$avp(rtt)")
modparam("rtpengine", "mos_average_samples_pv", "$avp(samples)")
modparam("rtpengine", "mos_min_pv", "$avp(min)")
modparam("rtpengine", "mos_min_at_pv", "$avp(min_at)")
modparam("rtpengine", "mos_A_label_pv", "$avp(label_a)")
modparam("rtpengine", "mos_average_A_pv", "$avp(mos_a)")
modparam("rtpengine", "mos_B_label_pv", "$avp(label_b)")
modparam("rtpengine", "mos_average_B_pv", "$avp(mos_b)")
request_route {
    if (is_method("INVITE")) {
        if (!rtpengine_offer("replace-origin label=A")) { sl_send_reply("503", "No relay"); exit; }
        $du = "sip:127.0.0.1:5080";
        forward();
        exit;
    }
    if (is_method("INFO") && !block_media("directional")) { sl_send_reply("500", "No"); exit; }
    if (is_method("UPDATE") && !unblock_media("directional")) { sl_send_reply("500", "No"); exit; }
    if (is_method("MESSAGE")) append_to_reply("X-Stats: $rtpestat\\r\\n");
    if (is_method("BYE")) {
        $avp(label_a) = "A";
        $avp(label_b) = "B";
        if (!rtpengine_delete()) { sl_send_reply("500", "No"); exit; }
        append_to_reply("X-Mos: $avp(mos) $avp(loss) $avp(jitter) $avp(rtt) $avp(samples)\\r\\n");
        append_to_reply("X-Min: $avp(min) $avp(min_at)\\r\\n");
        append_to_reply("X-Sides: $avp(mos_a) $avp(mos_b)\\r\\n");
    }
    sl_send_reply("200", "OK");
}
onreply_route {
    if (has_body("application/sdp")) rtpengine_answer("replace-origin label=B");
}
"""


class Sip:
    """A client with the interface that Call expects, which goes through the proxy."""

    branches = itertools.count()

    def __init__(self, space):
        with space:
            self.uac, self.uas = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                                  for _ in range(2))
        for made, address in ((self.uac, UAC), (self.uas, UAS)):
            made.bind(address)
            made.settimeout(5)

    def close(self):
        self.uac.close()
        self.uas.close()

    def message(self, first, call_id, from_tag, to_tag, method, body="", via=None):
        via = via or f"Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{next(self.branches)}\r\n"
        to_tag = f";tag={to_tag}" if to_tag else ""
        content = "Content-Type: application/sdp\r\n" if body else ""
        return (f"{first}\r\n{via}From: <sip:a@test>;tag={from_tag}\r\nTo: <sip:b@test>{to_tag}\r\n"
                f"Call-ID: {call_id}\r\nCSeq: 1 {method}\r\nMax-Forwards: 9\r\n{content}"
                f"Content-Length: {len(body)}\r\n\r\n{body}").encode()

    def ask(self, method, call_id="x", from_tag="a", to_tag="", body=""):
        """Sends a request that the proxy answers itself; returns the response."""
        self.uac.sendto(self.message(f"{method} sip:b@test SIP/2.0", call_id, from_tag, to_tag,
                                     method, body), PROXY)
        return self.uac.recv(65536).decode()

    def command(self, command, call_id, from_tag, sdp, to_tag="", **_):
        """Sends the INVITE or its 200 through the proxy; returns the SDP that its receiver got."""
        if command == "offer":
            self.uac.sendto(self.message("INVITE sip:b@test SIP/2.0", call_id, from_tag, "",
                                         "INVITE", sdp), PROXY)
            self.invite = self.uas.recv(65536).decode()
            return {"sdp": self.invite.partition("\r\n\r\n")[2]}
        via = "".join(re.findall(r"^Via:.*\r\n", self.invite, re.MULTILINE))
        self.uas.sendto(self.message("SIP/2.0 200 OK", call_id, from_tag, to_tag, "INVITE", sdp,
                                     via), PROXY)
        return {"sdp": self.uac.recv(65536).decode().partition("\r\n\r\n")[2]}


def header(name, reply):
    return re.search(rf"^{name}: (.*)\r$", reply, re.MULTILINE)[1].split()


@unittest.skipUnless(shutil.which("kamailio"), "kamailio is not installed")
class KamailioTest(RelayCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        config = cls.relay.folder / "kamailio.cfg"
        config.write_text(CONFIG.replace("SOCKET", str(cls.relay.socket)), encoding="ascii")
        children = Children(cls.relay.folder)
        cls.addClassCleanup(children.close)
        start_kamailio(children, cls.bed.relay, config)
        cls.sip = Sip(cls.bed.relay)
        cls.addClassCleanup(cls.sip.close)
        cls.sip.uac.settimeout(0.2)
        deadline = time.monotonic() + 10
        while not cls.is_up():
            if time.monotonic() > deadline:
                raise RuntimeError((cls.relay.folder / "kamailio.log").read_text("utf-8"))
        cls.sip.uac.settimeout(5)

    @classmethod
    def is_up(cls):
        try:
            return "200 OK" in cls.sip.ask("OPTIONS")
        except TimeoutError:
            return False

    def test_statistics_fill_the_script_variables(self):
        caller, callee = self.phones()
        call = self.call(self.sip, caller, callee)
        for phone in (callee, caller):
            phone.send_rtcp()
        receive(callee.rtcp, 1, 1)
        # First the round trip of the caller's leg: a sample counts with both legs only.
        for sender, reader, figures in ((callee, caller, {}),
                                        (caller, callee, {"lost": 26, "jitter": 80})):
            report, lsr = sender_report(sender)
            sender.send_rtcp(report)
            self.assertTrue(arrives(reader.rtcp, report))
            answer = receiver_report(reader, sender, lsr, 0, **figures)
            reader.send_rtcp(answer)
            self.assertTrue(arrives(sender.rtcp, answer))
        words = dict(call_id=call.call_id, from_tag=call.from_tag, to_tag=call.to_tag)
        stats = " ".join(header("X-Stats", self.sip.ask("MESSAGE", **words)))
        self.assertRegex(stats, r"RTP: [1-9]\d* bytes, [1-9]\d* packets, 0 errors")
        self.assertRegex(stats, r"RTCP: [1-9]\d* bytes, [1-9]\d* packets, 0 errors")
        bye = self.sip.ask("BYE", **words)
        mos, loss, jitter, round_trip, samples = header("X-Mos", bye)
        self.assertTrue(3.0 <= float(mos) <= 4.2, mos)
        self.assertEqual((loss, jitter, samples), ("10", "10", "1"))
        self.assertGreater(int(round_trip), 0)
        self.assertEqual(header("X-Min", bye)[0], mos)
        self.assertRegex(header("X-Min", bye)[1], r"^\d+:\d\d$")
        self.assertEqual(header("X-Sides", bye), [mos, "<null>"], "MOS of the caller's stream only")

    def test_block_and_unblock_media(self):
        caller, callee = self.phones()
        call = self.call(self.sip, caller, callee)
        words = dict(call_id=call.call_id, from_tag=call.from_tag, to_tag=call.to_tag)
        self.assertIn("200 OK", self.sip.ask("INFO", **words))
        self.assert_silent(transfer(caller, callee, 5, patience=0.3)[1])
        self.assert_received(*transfer(callee, caller, 5))
        self.assertIn("200 OK", self.sip.ask("UPDATE", **words))
        self.assert_received(*transfer(caller, callee, 5))
        self.assertIn("200 OK", self.sip.ask("BYE", **words))
        self.assertEqual(self.ng.command("list")["calls"], [])

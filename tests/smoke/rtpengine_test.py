# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Kamailio with configs/kamailio-rtpengine.cfg: whole calls, also between realms."""

from smoke.bed import ATTACKER, CALLER
from smoke.proxy import CONFIG
from smoke.realm_test import (ADDRESS6, CALLEE6, CALLER6, CORE, FAR6, REALMS, SECOND_ADDRESS6,
                              RealmBed)
from smoke.relay import ADDRESS, UDP_PORT
from smoke.sip import Dialog, EitherTransport, SipCase, body


class RtpengineTest(EitherTransport, SipCase):
    def start(self, transport, near=None, remote=None, network="192.0.2.0/24"):
        self.relay = self.new_relay().start()
        relay = (f"unix:{self.relay.socket}" if transport == "unix" else
                 f"udp:127.0.0.1:{UDP_PORT}")
        self.start_proxy(CONFIG, f'MR_RTPENGINE="{near or relay}"',
                         f'MR_REMOTE_RTPENGINE="1 == {remote or relay}"',
                         f'MR_REMOTE_NETWORK="{network}"',
                         f'MR_RPC="{self.relay.folder / "rpc.sock"}"')

    def test_trickled_candidates_by_info(self):
        self.start("unix")
        dialog = Dialog(self.alice, self.bob)
        ice = "a=mid:0\r\na=ice-ufrag:alic\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
        dialog.set_up(offer=self.pair.caller.sdp() + ice)
        candidate = f"a=candidate:1 1 UDP 2130706431 {ATTACKER} 4000 typ host\r\n"
        dialog.request(self.alice, "INFO", f"{ice}m=audio 9 RTP/AVP 0\r\na=mid:0\r\n{candidate}",
                       kind="trickle-ice-sdpfrag")
        info = self.bob.receive("INFO")
        self.bob.reply(info, "200 OK")
        self.alice.receive("SIP/2.0 200")
        self.assertIn(candidate, body(info))
        tags = self.relay.ng.command("query", call_id=dialog.call_id)["tags"]
        [media] = tags[dialog.tags[self.alice]]["medias"]
        self.assertEqual(media["may be heard from"], [CALLER, ATTACKER])
        dialog.bye()
        self.relay.check_stop()


class RealmTest(SipCase):
    """Whole calls over IPv6 and between families and realms, selected by flags of the script."""

    make_bed = RealmBed

    def whole_call_between(self, caller, callee, flags=""):
        self.relay = self.new_relay({"interface": REALMS}).start()
        self.start_proxy(CONFIG, f'MR_RTPENGINE="unix:{self.relay.socket}"',
                         f'MR_RPC="{self.relay.folder / "rpc.sock"}"',
                         f'MR_OFFER_FLAGS="{flags}"', phones=(caller, callee))
        where = self.whole_call()
        self.relay.check_stop()
        return where

    def test_ipv6(self):
        self.assertEqual(self.whole_call_between(self.phone(self.bed.caller, CALLER6),
                                                 self.phone(self.bed.far, FAR6)),
                         (ADDRESS6, ADDRESS6))

    def test_ipv4_caller_and_ipv6_callee(self):
        self.assertEqual(self.whole_call_between(self.phone(self.bed.caller, CALLER),
                                                 self.phone(self.bed.callee, CALLEE6),
                                                 "address-family=IP6"), (ADDRESS, ADDRESS6))

    def test_two_realms_on_two_devices(self):
        self.assertEqual(self.whole_call_between(self.phone(self.bed.caller, CALLER),
                                                 self.phone(self.bed.core, CORE),
                                                 "direction=public direction=core"),
                         (ADDRESS, "100.64.0.2"))

    def test_ipv6_realm_to_ipv4_realm(self):
        self.assertEqual(self.whole_call_between(
            self.phone(self.bed.caller, CALLER6), self.phone(self.bed.core, CORE),
            "direction=guests direction=core address-family=IP4"),
                         (SECOND_ADDRESS6, "100.64.0.2"))

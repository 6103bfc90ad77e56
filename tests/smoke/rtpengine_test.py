# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Kamailio with configs/kamailio-rtpengine.cfg: whole calls, between realms too."""

from smoke.bed import CALLER
from smoke.proxy import CONFIG
from smoke.realm_test import (ADDRESS6, CALLEE6, CALLER6, CORE, FAR6, REALMS, SECOND_ADDRESS6,
                              RealmBed)
from smoke.relay import ADDRESS, UDP_PORT
from smoke.sip import EitherTransport, SipCase


class RtpengineTest(EitherTransport, SipCase):
    def start(self, transport, near=None, remote=None, network="192.0.2.0/24"):
        self.relay = self.new_relay().start()
        relay = (f"unix:{self.relay.socket}" if transport == "unix" else
                 f"udp:127.0.0.1:{UDP_PORT}")
        self.start_proxy(CONFIG, f'MR_RTPENGINE="{near or relay}"',
                         f'MR_REMOTE_RTPENGINE="1 == {remote or relay}"',
                         f'MR_REMOTE_NETWORK="{network}"',
                         f'MR_RPC="{self.relay.folder / "rpc.sock"}"')


class RealmTest(SipCase):
    """Whole calls over IPv6, between families and realms; the script says so by flags."""

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

# SPDX-License-Identifier: BSD-3-Clause
"""The test bed: hosts around one bridge, the relay among them, and calls between phones.

    caller .10    callee .20    attacker .66            far 203.0.113.20
        |             |             |                          |
        +-------- wire: bridge 198.18.0.0/24, router .1 -------+
                            |
              relay0 .2 .3 (the kernel there has no address)
"""

import itertools
import os
import signal
import time
import unittest

from smoke.frames import Port
from smoke.netns import Namespace, cable
from smoke.phone import Phone, family, open_path, transfer
from smoke.relay import GATEWAY, SLOWNESS, Relay

CALLER, CALLEE, ATTACKER, FAR = "198.18.0.10", "198.18.0.20", "198.18.0.66", "203.0.113.20"


class Bed:
    def __init__(self):
        self.wire, self.relay = Namespace(), Namespace()
        self.caller, self.callee = Namespace(), Namespace()
        self.attacker, self.far = Namespace(), Namespace()
        self.wire.ip("link add bridge0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                     f"address add {GATEWAY}/24 dev bridge0", "link set bridge0 up")
        cable(self.wire, "relay", self.relay, "relay0")
        self.wire.ip("link set relay master bridge0")
        for name, space, address in (("caller", self.caller, CALLER),
                                     ("callee", self.callee, CALLEE),
                                     ("attacker", self.attacker, ATTACKER)):
            cable(self.wire, name, space, "eth0")
            self.wire.ip(f"link set {name} master bridge0")
            space.ip(f"address add {address}/24 dev eth0", f"route add default via {GATEWAY}")
        cable(self.wire, "far", self.far, "eth0")
        self.wire.ip("address add 203.0.113.1/24 dev far")
        self.wire.forward()
        self.far.ip(f"address add {FAR}/24 dev eth0", "route add default via 203.0.113.1")

    def close(self):
        for space in (self.wire, self.relay, self.caller, self.callee, self.attacker, self.far):
            space.close()


class Call:
    """One call as a SIP proxy drives it, with the source of each SIP message (received-from)."""

    serial = itertools.count()

    def __init__(self, ng, caller, callee, **keys):
        number = next(self.serial)
        self.ng, self.caller, self.callee = ng, caller, callee
        self.call_id = f"call-{os.getpid()}-{number}@test"
        self.from_tag, self.to_tag = f"from-{number}", f"to-{number}"
        self.keys = keys

    def offer(self, sdp=None, **keys):
        """Offers the caller's SDP; returns the rewritten SDP, to which the callee then sends."""
        reply = self.ng.command("offer", call_id=self.call_id, from_tag=self.from_tag,
                                sdp=sdp or self.caller.sdp(),
                                received_from=[family(self.caller.address), self.caller.address],
                                **self.keys, **keys)
        self.callee.connect(reply["sdp"])
        return reply["sdp"]

    def answer(self, sdp=None, **keys):
        """Answers with the callee's SDP; returns the rewritten SDP, to which the caller sends."""
        reply = self.ng.command("answer", call_id=self.call_id, from_tag=self.from_tag,
                                to_tag=self.to_tag, sdp=sdp or self.callee.sdp(),
                                received_from=[family(self.callee.address), self.callee.address],
                                **self.keys, **keys)
        self.caller.connect(reply["sdp"])
        return reply["sdp"]

    def delete(self, **keys):
        return self.ng.command("delete", call_id=self.call_id, from_tag=self.from_tag, **keys)

    def query(self):
        return self.ng.command("query", call_id=self.call_id)


class Case(unittest.TestCase):
    """Tests on one bed. Each times out after 60 s, scaled by SLOWNESS."""

    make_bed = Bed

    @classmethod
    def setUpClass(cls):
        cls.bed = cls.make_bed()
        cls.addClassCleanup(cls.bed.close)

    def setUp(self):
        signal.signal(signal.SIGALRM, self._late)
        signal.alarm(60 * SLOWNESS)
        self.addCleanup(signal.alarm, 0)

    def _late(self, *_):
        raise TimeoutError(f"{self.id()} hangs")

    def wait_for(self, condition, what, seconds=5.0 * SLOWNESS, logs=lambda: ""):
        """Polls until `condition()` is true; fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"{what}: not within {seconds:g} s\n{logs()}")
            time.sleep(0.01)

    def new_relay(self, settings=None, **keys):
        """A relay for this test alone, not started."""
        relay = Relay(self.bed.relay, settings, **keys)
        self.addCleanup(relay.close)
        return relay

    def phone(self, space, address, **keys):
        phone = Phone(space, address, **keys)
        self.addCleanup(phone.close)
        return phone

    def sniff(self, space, interface="eth0"):
        port = Port(space, interface)
        self.addCleanup(port.close)
        return port

    def phones(self):
        return self.phone(self.bed.caller, CALLER), self.phone(self.bed.callee, CALLEE)

    def call(self, ng, caller=None, callee=None, **keys):
        """An answered call, latched in both directions."""
        if caller is None:
            caller, callee = self.phones()
        call = Call(ng, caller, callee, **keys)
        call.offer()
        call.answer()
        self.assert_open(call)
        return call

    def assert_open(self, call):
        patience = 3.0 * SLOWNESS
        self.assertTrue(open_path(call.caller, call.callee, patience), "callee receives nothing")
        self.assertTrue(open_path(call.callee, call.caller, patience), "caller receives nothing")

    def assert_silent(self, packets, message="received"):
        """`packets` is empty."""
        if packets:
            self.fail(f"{message}: {len(packets)} packets, the first {packets[0]}"[:200])

    def assert_received(self, sent, packets, source=None):
        """Each packet of `sent` arrived once and unchanged, from `source`.

        The order is ignored: the kernel reorders packets of a sender that moves to another core.
        """
        self.assertEqual(len(packets), len(sent), "packets received")
        self.assertTrue(sorted(packet.data for packet in packets) == sorted(sent), "changed")
        if source:
            self.assertEqual({packet.source for packet in packets}, {source})

    def assert_both_ways(self, one, other, count=20):
        """Media passes in both directions, from the port its receiver sends to (RFC 4961)."""
        for sender, receiver in ((one, other), (other, one)):
            self.assert_received(*transfer(sender, receiver, count), source=receiver.to)


class RelayCase(Case):
    """Tests that share one relay, started with `settings`; it must exit with status 0."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.relay = Relay(cls.bed.relay, cls.settings)
        cls.addClassCleanup(cls.relay.close)
        cls.relay.start()
        cls.ng = cls.relay.ng

    @classmethod
    def tearDownClass(cls):
        cls.relay.check_stop()

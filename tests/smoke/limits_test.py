# SPDX-License-Identifier: BSD-3-Clause
"""Timeouts that end a call, and refusals when ports or calls run out."""

import struct
import time

from smoke.bed import Call, Case, RelayCase
from smoke.ng import Refused
from smoke.phone import Traffic, transfer
from smoke.relay import SLOWNESS


class TimeoutTest(RelayCase):
    settings = {"timeouts": {"media": 2, "silent": 5, "offer": 3}}

    def test_each_timeout_ends_its_call_on_time(self):
        began = time.monotonic()
        live = self.call(self.ng)
        quiet, held = self.call(self.ng), self.call(self.ng)
        held.offer(held.caller.sdp("inactive"))
        held.answer(held.callee.sdp("inactive"))
        unanswered = Call(self.ng, *self.phones())
        unanswered.offer()
        names = {live.call_id: "live", quiet.call_id: "quiet", held.call_id: "held",
                 unanswered.call_id: "unanswered"}
        ended = {}
        with Traffic(live) as traffic:
            while len(ended) < 3:
                here = set(self.ng.command("list", limit=1000)["calls"])
                now = time.monotonic() - began
                for call_id in set(names) - here - set(ended):
                    ended[call_id] = now
                self.assertLess(now, 15 * SLOWNESS, f"ended so far: {ended}")
                time.sleep(0.05)
        at = {names[call_id]: seconds for call_id, seconds in ended.items()}
        self.assertEqual(set(at), {"quiet", "unanswered", "held"})
        for name, due in (("quiet", 2), ("unanswered", 3), ("held", 5)):
            self.assertGreater(at[name], due - 0.5, name)
            self.assertLess(at[name], due + 3 * SLOWNESS, name)
        self.assertEqual(traffic.lost, 0)
        totals = self.ng.statistics()["totalstatistics"]
        self.assertEqual([totals["timeoutsessions"], totals["silenttimeoutsessions"],
                          totals["offertimeoutsessions"]], [1, 1, 1])

    def test_rtcp_or_stun_alone_keeps_a_call(self):
        reported, checked = self.call(self.ng), self.call(self.ng)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            reported.caller.send_rtcp()
            checked.callee.send(struct.pack("!HHI", 1, 0, 0x2112A442) + bytes(12))
            time.sleep(0.1)
        here = self.ng.command("list", limit=1000)["calls"]
        for call in (reported, checked):
            self.assertIn(call.call_id, here)
            call.delete(delete_delay=0)

    def test_call_that_one_party_holds_ends_by_the_silent_timeout(self):
        ways = (("sendonly", "recvonly"), ("recvonly", "sendonly"))
        held = [self.call(self.ng) for _ in ways]
        for call, (offered, answered) in zip(held, ways):
            call.offer(call.caller.sdp(offered))
            call.answer(call.callee.sdp(answered))
        time.sleep(3.5)
        here = self.ng.command("list", limit=1000)["calls"]
        for call in held:
            self.assertIn(call.call_id, here)
            call.delete(delete_delay=0)


class PortsTest(RelayCase):
    # Three port pairs on each of two addresses: room for three calls.
    settings = {"interface": {"ports": [30000, 30005]}}

    def ports(self):
        return self.ng.statistics()["ports"]

    def test_exhaustion_refuses_offers_and_leaks_no_port(self):
        free = self.ports()
        self.assertEqual(free["used"], 0)
        calls = [self.call(self.ng) for _ in range(3)]
        self.assertEqual(self.ports()["free"], 0)
        with Traffic(calls[0]) as traffic:
            for _ in range(20):
                with self.assertRaisesRegex(Refused, "^Ran out of ports$"):
                    Call(self.ng, *self.phones()).offer()
        self.assertEqual(traffic.lost, 0)
        self.assertEqual(len(self.ng.command("list")["calls"]), 3)
        calls[2].delete()
        self.wait_for_free(4)
        self.assert_received(*transfer(calls[1].caller, calls[1].callee))
        calls[2] = self.call(self.ng)
        for call in calls:
            call.delete()
        self.wait_for_free(12)
        self.assertEqual(self.ports(), free)

    def wait_for_free(self, count):
        self.wait_for(lambda: self.ports()["free"] == count, f"{count} free ports", 3 * SLOWNESS)


class CallLimitTest(Case):
    def test_load_limit_is_a_result_for_proxies_that_support_it(self):
        relay = self.new_relay({"limits": {"calls": 1}}).start()
        call = self.call(relay.ng)
        other = Call(relay.ng, *self.phones())
        reply = relay.ng.command("offer", call_id=other.call_id, from_tag="a",
                                 sdp=other.caller.sdp(), supports=["load limit"])
        self.assertEqual(reply["result"], "load limit")
        with self.assertRaisesRegex(Refused, "^Parallel session limit reached$"):
            other.offer()
        call.offer()  # the limit applies to new calls only
        relay.check_stop()

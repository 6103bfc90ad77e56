# SPDX-License-Identifier: BSD-3-Clause
"""Many calls come and go while media flows: nothing is lost, nothing is left behind."""

import threading

from smoke.bed import CALLEE, CALLER, Call, RelayCase
from smoke.ng import UnixClient
from smoke.phone import Traffic, heard
from smoke.relay import SANITIZED

PROXIES = 4  # SIP workers that each set calls up at their own pace
CALLS = 25 if SANITIZED else 100  # of each, a round


class ChurnTest(RelayCase):
    settings = {"log": {"level": "warning"}}

    def round(self, failures):
        def proxy():
            caller = self.phone(self.bed.caller, CALLER)
            callee = self.phone(self.bed.callee, CALLEE)
            ng = UnixClient(self.relay.socket)
            try:
                for _ in range(CALLS):
                    call = Call(ng, caller, callee)
                    call.offer()
                    call.answer()
                    sent, packets = heard(caller, callee, 5, pace=0)
                    if {packet.data for packet in packets} != set(sent):
                        failures.append(f"{call.call_id}: {len(packets)} of {len(sent)} heard")
                    call.offer()
                    call.delete()
                    caller.drain()
                    callee.drain()
            except Exception as error:  # told by the test, not lost with the thread
                failures.append(repr(error))

        proxies = [threading.Thread(target=proxy) for _ in range(PROXIES)]
        for thread in proxies:
            thread.start()
        for thread in proxies:
            thread.join()

    def test_calls_come_and_go(self):
        failures = []
        ports = self.ng.command("statistics")["statistics"]["ports"]
        live = self.call(self.ng)
        with Traffic(live) as traffic:
            self.round(failures)
            memory = self.relay.resident_kb()
            self.round(failures)
        self.assertEqual(failures, [])
        self.assertEqual(traffic.lost, 0, "the call that stays")
        if not SANITIZED:  # their quarantines of freed memory grow for long
            self.assertLess(self.relay.resident_kb() - memory, 2048, "KiB more after a round")
        live.delete()
        self.assertEqual(self.ng.command("list")["calls"], [])
        left = self.ng.command("statistics")["statistics"]["ports"]
        self.assertEqual(left["used"], ports["used"])

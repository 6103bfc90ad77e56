# SPDX-License-Identifier: BSD-3-Clause
"""Many calls come and go while media flows: nothing is lost, nothing is left behind."""

import threading
import time

from smoke.bed import CALLEE, CALLER, Call, RelayCase
from smoke.ng import UnixClient, connected
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
        ports = self.ng.statistics()["ports"]
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
        left = self.ng.statistics()["ports"]
        self.assertEqual(left["used"], ports["used"])


class SignallingTest(RelayCase):
    """Calls that no media follows: 10,000 offers, answers and deletes by the proxy's sockets."""

    settings = {"log": {"level": "warning"}}
    CYCLES = 500 if SANITIZED else 10000
    WARM = CYCLES // 10  # what grows up to here is caches and pools

    def assert_nothing_is_left(self, cycle):
        """After all of them; `cycle` sets one call up and ends it."""
        before = self.ng.statistics()
        ports = before["ports"]
        for number in range(self.CYCLES):
            if number == self.WARM:
                memory = self.relay.resident_kb()
            cycle(number)
        if not SANITIZED:
            self.assertLess(self.relay.resident_kb() - memory, 1024, "KiB more")
        deadline = time.monotonic() + 5  # ports rest until the timer's next second
        while (after := self.ng.statistics())["ports"] != ports:
            self.assertLess(time.monotonic(), deadline, f"{after['ports']}, not {ports}")
            time.sleep(0.1)
        self.assertEqual(after["currentstatistics"]["sessionstotal"], 0)
        managed = [told["totalstatistics"]["managedsessions"] for told in (before, after)]
        self.assertEqual(managed[1] - managed[0], self.CYCLES)

    def test_nothing_is_left_of_ten_thousand_calls(self):
        caller, callee = self.phones()
        offer, answer = caller.sdp(), callee.sdp()

        def cycle(number):
            keys = {"call_id": f"cycle-{number}", "from_tag": "f"}
            self.ng.command("offer", sdp=offer, **keys)
            self.ng.command("answer", sdp=answer, to_tag="t", **keys)
            self.ng.command("delete", **keys)

        self.assert_nothing_is_left(cycle)

    def test_nothing_is_left_of_ten_thousand_by_mediaproxy(self):
        client = connected(self.relay.mediaproxy_socket)
        self.addCleanup(client.close)

        def ask(*lines):
            client.sendall("\r\n".join((*lines, "", "")).encode())
            return client.recv(8192).decode()

        def update(kind, number, address):
            reply = ask("update", f"type: {kind}", f"call_id: cycle-{number}", "cseq: 1",
                        "from_tag: f", "to_tag: t" if kind == "reply" else "to_tag: ",
                        f"media: audio:{address}:4000:sendrecv:ice=no")
            self.assertRegex(reply, r"^198\.18\.0\.[23] [1-9]\d*\r\n$")

        def cycle(number):
            update("request", number, CALLER)
            update("reply", number, CALLEE)
            self.assertEqual(ask("remove", f"call_id: cycle-{number}", "from_tag: f"),
                             "removed\r\n")

        self.assert_nothing_is_left(cycle)

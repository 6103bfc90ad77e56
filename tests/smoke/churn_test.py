# SPDX-License-Identifier: BSD-3-Clause
"""Call churn beside live media: no packet lost, no port, call or memory leaked."""

import threading

from smoke.bed import CALLEE, CALLER, Call, RelayCase
from smoke.ng import UnixClient, connected
from smoke.phone import Traffic, transfer
from smoke.relay import SANITIZED

PROXIES = 4  # SIP workers, each setting up calls at its own pace
CALLS = 25 if SANITIZED else 100  # per proxy and round


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
                    sent, packets = transfer(caller, callee, 5, pace=0)
                    if {packet.data for packet in packets} != set(sent):
                        failures.append(f"{call.call_id}: {len(packets)} of {len(sent)} received")
                    call.offer()
                    call.delete()
                    caller.drain()
                    callee.drain()
            except Exception as error:  # reported by the test, not lost with the thread
                failures.append(repr(error))

        proxies = [threading.Thread(target=proxy) for _ in range(PROXIES)]
        for thread in proxies:
            thread.start()
        for thread in proxies:
            thread.join()

    def test_churn_loses_no_packet_and_leaks_nothing(self):
        failures = []
        ports = self.ng.statistics()["ports"]
        live = self.call(self.ng)
        with Traffic(live) as traffic:
            self.round(failures)
            memory = self.relay.resident_kb()
            self.round(failures)
        self.assertEqual(failures, [])
        self.assertEqual(traffic.lost, 0, "lost by the live call")
        if not SANITIZED:  # a sanitizer's quarantine of freed memory grows for minutes
            self.assertLess(self.relay.resident_kb() - memory, 2048, "KiB more after a round")
        live.delete()
        self.assertEqual(self.ng.command("list")["calls"], [])
        left = self.ng.statistics()["ports"]
        self.assertEqual(left["used"], ports["used"])


class SignallingTest(RelayCase):
    """Calls without media: 10,000 offers, answers and deletes over the control sockets."""

    settings = {"log": {"level": "warning"}}
    CYCLES = 500 if SANITIZED else 10000
    WARM = CYCLES // 10  # caches and pools grow up to here

    def assert_nothing_leaks(self, cycle):
        """Runs all cycles and checks ports, calls and memory. `cycle` makes and ends one call."""
        before = self.ng.statistics()
        ports = before["ports"]
        for number in range(self.CYCLES):
            if number == self.WARM:
                memory = self.relay.resident_kb()
            cycle(number)
        if not SANITIZED:
            self.assertLess(self.relay.resident_kb() - memory, 1024, "KiB more")
        # The timer returns ports every second.
        self.wait_for(lambda: self.ng.statistics()["ports"] == ports, f"ports {ports}",
                      logs=lambda: self.ng.statistics()["ports"])
        after = self.ng.statistics()
        self.assertEqual(after["currentstatistics"]["sessionstotal"], 0)
        managed = [each["totalstatistics"]["managedsessions"] for each in (before, after)]
        self.assertEqual(managed[1] - managed[0], self.CYCLES)

    def test_10000_ng_calls_leak_nothing(self):
        caller, callee = self.phones()
        offer, answer = caller.sdp(), callee.sdp()

        def cycle(number):
            keys = {"call_id": f"cycle-{number}", "from_tag": "f"}
            self.ng.command("offer", sdp=offer, **keys)
            self.ng.command("answer", sdp=answer, to_tag="t", **keys)
            self.ng.command("delete", **keys)

        self.assert_nothing_leaks(cycle)

    def test_10000_mediaproxy_calls_leak_nothing(self):
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

        self.assert_nothing_leaks(cycle)

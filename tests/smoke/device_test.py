# SPDX-License-Identifier: BSD-3-Clause
"""The relay on other devices, and with two workers."""


from smoke.bed import CALLEE, CALLER, Case
from smoke.phone import Traffic, receive, transfer
from smoke.relay import SLOWNESS


class DeviceTest(Case):
    def check_relay(self, relay):
        call = self.call(relay.ng)
        self.assert_both_ways(call.caller, call.callee, 50)
        report = call.caller.send_rtcp()
        self.assert_received([report], receive(call.callee.rtcp, 2.0, 1))
        relay.check_stop()

    def test_af_xdp(self):
        self.check_relay(self.new_relay(
            {"interface": {"device": "net_af_xdp0,iface=relay0"}}).start())

    def test_tap(self):
        relay = self.new_relay({"interface": {"device": "net_tap0,iface=tap0"}})
        relay.start()
        # The tap's kernel end has the MAC address that the relay uses. A bridge consumes frames
        # addressed to its own ports, so the kernel end gets another address.
        self.bed.relay.ip("link add patch type bridge stp_state 0 forward_delay 0",
                          "link set tap0 down", "link set tap0 address 02:00:00:00:00:fe",
                          "link set tap0 master patch", "link set relay0 master patch",
                          "link set tap0 up", "link set patch up")
        self.addCleanup(self.bed.relay.ip, "link del patch")
        self.check_relay(relay)

    def statistics(self, relay):
        return relay.ng.command("statistics")["statistics"]

    def test_link_changes_are_counted_and_logged(self):
        relay = self.new_relay().start()
        [device] = self.statistics(relay)["devices"]
        self.assertEqual((device["device"], device["link"], device["link changes"]),
                         ("net_af_packet0,iface=relay0", "up", 0))
        self.addCleanup(self.bed.wire.ip, "link set relay up")
        for state, changes in (("down", 1), ("up", 2)):
            self.bed.wire.ip(f"link set relay {state}")
            self.wait_for(lambda state=state: f" link-{state} " in relay.text(), f"link-{state}")
            [device] = self.statistics(relay)["devices"]
            self.assertEqual((device["link"], device["link changes"]), (state, changes))
        relay.check_stop()

    def test_reassembled_datagrams_above_the_mtu_are_counted_as_drops(self):
        """The kernel reassembles fragments below AF_PACKET; the datagram exceeds the MTU."""
        relay = self.new_relay().start()
        call = self.call(relay.ng)
        before = self.statistics(relay)["workers"][0]
        for _ in range(30):
            call.caller.send(call.caller.packet(bytes(1672)))  # 1,712 bytes of IP
        self.wait_for(lambda: self.statistics(relay)["workers"][0]["drops"].get("mtu_exceeded"),
                      "drops of mtu_exceeded")
        self.assert_received(*transfer(call.caller, call.callee))  # comes after the above
        after = self.statistics(relay)["workers"][0]
        self.assertEqual(after["drops"]["mtu_exceeded"], 30)
        received = after["received"] - before["received"]
        self.assertLess(after["sent"] - before["sent"], received - 29)
        relay.check_stop()

    def test_two_workers(self):
        """PACKET_FANOUT hashes by flow, so the two legs of a call may be on different queues."""
        relay = self.new_relay({"dataplane": {"worker_cores": [0, 1]}}).start()
        calls = [self.call(relay.ng, self.phone(self.bed.caller, CALLER),
                           self.phone(self.bed.callee, CALLEE)) for _ in range(8)]
        streams = [Traffic(call) for call in calls]
        for stream in streams:
            stream.__enter__()
        self.wait_for(lambda: all(stream.passes(100) for stream in streams), "media of all calls",
                      10 * SLOWNESS)
        for stream in streams:
            stream.__exit__()
        self.assertEqual([stream.lost for stream in streams], [0] * 8)
        relay.check_stop()

# SPDX-License-Identifier: BSD-3-Clause
"""ICE with real agents: two baresip phones, Kamailio with the shipped configuration, the relay.

The relay is one of their candidates. In one LAN they use the direct path, and the relay ends its
session. Behind two NATs, one of them symmetric, only the relay works.
"""

import pathlib
import shutil
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

import topology
from capture import Capture, address, rtp_packets, stop_all
from phones import Phone
from processes import Programs, Signals
from servers import Kamailio, Millrace
from smoke.relay import PROGRAM, SLOWNESS

MEDIA_TIMEOUT = 4


@unittest.skipUnless(shutil.which("baresip") and shutil.which("kamailio"), "no phones, no proxy")
class IceTest(unittest.TestCase):
    def setUp(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-ice-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.programs = Programs(folder, Signals())
        self.topo = topology.Topology()
        self.addCleanup(self.topo.remove)
        self.addCleanup(self.programs.stop_all)
        self.topo.create()
        self.folder = folder

    def start(self, callee_address):
        """Starts all programs and the call; returns the two phones."""
        self.millrace = Millrace(self.programs, self.folder, self.topo, PROGRAM.resolve(),
                                 "af_packet", media_timeout=MEDIA_TIMEOUT)
        self.millrace.start()
        Kamailio(self.programs, self.folder, self.topo["core"], self.millrace.socket)
        alice = Phone(self.programs, self.folder, "alice", topology.PHONE_A, self.topo["phone-a"],
                      440, ice=True)
        bob = Phone(self.programs, self.folder, "bob", callee_address, self.topo["phone-b"], 1000,
                    ice=True)
        bob.start()
        bob.wait_registered(8 * SLOWNESS)
        alice.start(f"/dial {bob.uri}")
        alice.wait_in_call(8 * SLOWNESS)
        return alice, bob

    def capture(self, role):
        return Capture(self.programs, self.topo[role], "eth0",
                       self.folder / f"{role}.pcap").started()

    def rtp_sources(self, captures):
        """The set of addresses that sent RTP to each phone, per capture."""
        stop_all(captures)
        return [{address(p.source[0]) for p in rtp_packets(c.path)} - {own}
                for c, own in zip(captures, self.own)]

    def assert_tones(self, alice, bob):
        for phone, other in ((alice, bob), (bob, alice)):
            recording = phone.recording_of(other)
            self.assertGreater(recording.expected, 2, f"{phone.name}: {phone.program.log_text()}")
            self.assertEqual(recording.unwanted, 0)

    def log(self):
        return self.millrace.program.log_text()

    def test_phones_in_one_lan_use_the_direct_path(self):
        self.own = topology.PHONE_A, topology.NEIGHBOUR_A
        self.topo.move_to_lan_a("phone-b")
        alice, bob = self.start(topology.NEIGHBOUR_A)
        captures = [self.capture("phone-a"), self.capture("phone-b")]
        deadline = time.monotonic() + (MEDIA_TIMEOUT + 8) * SLOWNESS
        while "ice-direct-path" not in self.log() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertIn("ice-direct-path", self.log())
        self.assertNotIn("media-timeout", self.log())
        totals = self.millrace.ask("statistics")["statistics"]["totalstatistics"]
        self.assertEqual(totals["icedirectsessions"], 1)
        for capture in captures:
            capture.wait_for_rtp(0.5, 5 * SLOWNESS)
        self.assertTrue(alice.program.running and bob.program.running)
        self.assertNotIn("session closed", alice.program.log_text() + bob.program.log_text())
        self.assertEqual(self.rtp_sources(captures), [{self.own[1]}, {self.own[0]}])
        alice.hang_up()
        bob.hang_up()
        self.assert_tones(alice, bob)

    def test_phones_behind_two_nats_use_the_relay(self):
        self.own = topology.PHONE_A, topology.PHONE_B
        alice, bob = self.start(topology.PHONE_B)
        captures = [self.capture("phone-a"), self.capture("phone-b")]
        for capture in captures:
            capture.wait_for_rtp(MEDIA_TIMEOUT + 1, (MEDIA_TIMEOUT + 5) * SLOWNESS)
        self.assertEqual(len(self.millrace.ask("list")["calls"]), 1, self.log())
        self.assertEqual(self.rtp_sources(captures), [{topology.RELAY}, {topology.RELAY}])
        alice.hang_up()
        bob.hang_up()
        self.assert_tones(alice, bob)
        self.assertNotIn("ice-direct-path", self.log())


if __name__ == "__main__":
    unittest.main()

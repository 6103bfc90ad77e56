# SPDX-License-Identifier: BSD-3-Clause
"""The call generator millrace-load against Millrace, in each protocol, and Debian's rtpengine."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from smoke.bed import CALLER, Case, RelayCase
from smoke.netns import Namespace, cable
from smoke.ng import UdpClient
from smoke.realm_test import CALLER6, REALMS, RealmBed
from smoke.relay import BUILD, SLOWNESS, UDP_PORT

PROGRAM = BUILD / "perf" / "millrace-load"
OTHER = "198.18.0.11"  # the callees' address, on the caller's host
CALLS = 20
PACKETS = 2 * CALLS * 50  # per second, both directions
TRIES = 5  # a busy machine spoils single time measurements, rarely five in a row


class Generator:
    """Runs millrace-load in a namespace and reads its JSON report."""

    def __init__(self, space, *words):
        self.folder = tempfile.TemporaryDirectory(prefix="millrace-load-")
        self.json = pathlib.Path(self.folder.name) / "result.json"
        with space:
            self.process = subprocess.Popen([PROGRAM, *map(str, words), "--json", self.json],
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            text=True)

    def end(self, patience=30 * SLOWNESS):
        """Waits for the end; returns exit status and report. Kills a program that hangs."""
        try:
            self.output, self.errors = self.process.communicate(timeout=patience)
        finally:
            self.process.kill()
            self.process.wait()
        report = json.loads(self.json.read_text()) if self.json.exists() else None
        self.folder.cleanup()
        return self.process.returncode, report


class LoadCase:
    """Measurements and checks for both relays."""

    def on_device(self, space, relay, device, *more):
        report = self.measure(space, "run", "--control", f"unix:{relay.socket}", "--device", device,
                              "--caller", "198.18.0.12/24", "--callee", "198.18.0.13/24",
                              "--warm-up", 1, "--duration", 2, "--calls", CALLS,
                              "--rtcp-interval", 0.5, "--max-loss", 0, "--nap-us", 500, *more,
                              spoilt=self.late)
        self.assert_all_received(report)
        return report

    def measure(self, space, *words, status=0, spoilt=lambda result: False):
        """Runs the generator; repeats up to TRIES times if other load spoilt the measurement."""
        for _ in range(TRIES):
            generator = Generator(space, *words)
            returned, report = generator.end()
            if report is None or not spoilt(report["result"]):
                self.assertEqual(returned, status, generator.output + generator.errors)
                return report
        self.fail(f"the machine is too busy: {TRIES} measurements spoilt. The last one:\n"
                  + generator.output + generator.errors)

    @staticmethod
    def late(result):
        """p99 delay of 20 ms or more, one packet interval."""
        return any(result[way]["delay_us"]["p99"] >= 20_000
                   for way in ("caller_to_callee", "callee_to_caller"))

    def assert_all_received(self, report, seconds=2):
        result = report["result"]
        self.assertTrue(result["complete"])
        self.assertEqual(result["calls"], CALLS)
        self.assertAlmostEqual(result["sent"], PACKETS * seconds, delta=PACKETS * seconds // 10)
        for way in ("caller_to_callee", "callee_to_caller"):
            one = result[way]
            self.assertEqual(one["received"], one["sent"], way)
            self.assertEqual(one["duplicates"], 0)
            self.assertEqual(one["delay_us"]["count"], one["received"])
            self.assertGreater(one["delay_us"]["p50"], 0)
            self.assertGreater(one["mos"], 4)
            self.assertEqual(one["rtcp_received"], one["rtcp_sent"])
            self.assertGreater(one["rtcp_sent"], CALLS)
        generator = result["generator"]
        self.assertEqual(
            [generator[key] for key in ("not_sent", "misdelivered", "unknown")], [0, 0, 0])


class MillraceTest(LoadCase, RelayCase):
    settings = {"log": {"level": "warning"},
                "control": [{"protocol": "rtpp", "path": ""}]}

    @classmethod
    def setUpClass(cls):
        cls.settings["control"][0]["path"] = f"/tmp/millrace-load-rtpp-{os.getpid()}.sock"
        super().setUpClass()
        cls.bed.caller.ip(f"address add {OTHER}/24 dev eth0")

    def words(self, mode, control=None):
        return (mode, "--control", control or f"unix:{self.relay.socket}", "--caller", CALLER,
                "--callee", OTHER, "--warm-up", 1, "--relay-pid", self.relay.process.pid,
                "--nap-us", 500)

    def voice(self, *more, control=None):
        return self.measure(self.bed.caller, *self.words("run", control), "--calls", CALLS,
                            "--duration", 2, "--rtcp-interval", 0.5, "--max-loss", 0, *more,
                            spoilt=self.late)

    def relayed(self):
        return self.ng.statistics()["totalstatistics"]["relayedpackets"]

    def assert_nothing_left(self):
        self.assertEqual(self.ng.command("list")["calls"], [])

    def test_voice_over_a_unix_socket(self):
        before = self.ng.statistics()["totalstatistics"]
        report = self.voice()
        self.assert_all_received(report)
        after = self.ng.statistics()["totalstatistics"]
        self.assertEqual(after["managedsessions"] - before["managedsessions"], CALLS)
        relayed = after["relayedpackets"] - before["relayedpackets"]
        self.assertGreaterEqual(relayed, report["result"]["received"])
        self.assertGreater(report["result"]["relay_workers"]["busy_cycles_per_packet"], 0)
        self.assertGreater(report["result"]["relay"]["cpu_s"], 0)
        self.assertGreater(report["result"]["relay"]["resident_kb"], 1000)
        for key in ("cpu", "kernel", "cores", "host"):
            self.assertIn(key, report["machine"])
        self.assertEqual(report["conditions"]["flows"], 2 * CALLS)
        self.assertIn("millrace-load run", report["command_line"])
        self.assert_nothing_left()

    def test_voice_behind_nats_with_rtcp_mux(self):
        self.assert_all_received(self.voice("--nat", "--rtcp-mux", "--connections", "kept"))

    def test_voice_signalled_over_udp(self):
        report = self.measure(self.bed.caller, *self.words("run", f"udp:127.0.0.1:{UDP_PORT}"),
                              "--control-netns", self.bed.relay.path, "--calls", CALLS,
                              "--duration", 2, "--rtcp-interval", 0.5, "--max-loss", 0,
                              spoilt=self.late)
        self.assert_all_received(report)

    def test_voice_signalled_as_rtpproxy(self):
        path = self.settings["control"][0]["path"]
        self.assert_all_received(self.voice("--protocol", "rtpproxy", control=f"unix:{path}"))

    def test_voice_signalled_as_mediaproxy(self):
        self.assert_all_received(self.voice("--protocol", "mediaproxy",
                                         control=f"unix:{self.relay.mediaproxy_socket}"))

    def test_video(self):
        report = self.measure(self.bed.caller, *self.words("run"), "--codec", "video", "--calls", 5,
                              "--duration", 1, "--max-loss", 0)
        self.assertEqual(report["conditions"]["datagram_bytes"], 1212)
        self.assertAlmostEqual(report["result"]["sent"], 1000, delta=100)

    def test_voice_on_a_device(self):
        """The kernel on this device has another address, so it ignores the generator's packets."""
        for device in ("net_af_packet0,iface=eth0", "net_af_xdp0,iface=eth0,force_copy=1"):
            with self.subTest(device):
                report = self.on_device(self.bed.attacker, self.relay, device)
                self.assertEqual(report["conditions"]["device"], device)

    def test_churn(self):
        report = self.measure(self.bed.caller, *self.words("churn"), "--calls", 5, "--cps", 20,
                              "--hold", 1, "--duration", 3, "--max-loss", 0, "--every", 1)
        result = report["result"]
        self.assertAlmostEqual(result["signalling"]["up"], 60, delta=10)
        self.assertEqual(result["signalling"]["refused"], 0)
        self.assertGreaterEqual(len(result["series"]["rows"]), 3)
        self.assertEqual(sum(row["sent"] for row in result["series"]["rows"]), result["sent"])
        self.assert_nothing_left()

    def test_control_plane_alone(self):
        report = self.measure(self.bed.caller, *self.words("control"), "--duration", 1)
        result = report["result"]
        self.assertGreater(result["cycles"], 100)
        self.assertEqual(result["signalling"]["refused"], 0)
        self.assertGreater(result["relay"]["cpu_us_per_cycle"],
                           result["relay"]["cpu_us_per_cycle_without_workers"])
        filled = self.measure(self.bed.caller, *self.words("fill"), "--calls", 200)["result"]
        self.assertEqual(filled["calls"], 200)
        self.assert_nothing_left()

    def test_latency_beside_an_echo(self):
        for connections in ("new", "kept"):
            report = self.measure(self.bed.caller, *self.words("latency"), "--duration", 1,
                                  "--connections", connections)
            offer = report["result"]["commands"]["offer"]
            self.assertGreater(offer["took_us"]["count"], 50)
            self.assertEqual(offer["echo_us"]["count"], offer["took_us"]["count"])
        self.assert_nothing_left()

    def test_search(self):
        def spoilt(result):
            return not any(trial["calls"] == CALLS and not trial["generator_limited"]
                           for trial in result["trials"])

        report = self.measure(self.bed.caller, *self.words("search"), "--calls", CALLS,
                              "--duration", 1, "--allow", 2, spoilt=spoilt)
        result = report["result"]
        tried = {trial["calls"]: trial for trial in result["trials"]}
        self.assertIn(result["ndr"]["calls"], tried)
        self.assertLessEqual(tried[result["ndr"]["calls"]]["lost"], 2)
        self.assertGreaterEqual(result["pdr"]["calls"], result["ndr"]["calls"])
        self.assertEqual(result["ndr"]["packets_per_second"], 100 * result["ndr"]["calls"])

    def test_overload(self):
        report = self.measure(self.bed.caller, *self.words("overload"), "--calls", CALLS,
                              "--duration", 1, "--flood", 1,
                              spoilt=lambda result: not result["generator"]["kept_up"])
        overload = report["result"]["overload"]
        self.assertAlmostEqual(overload["before"]["sent_pps"], PACKETS, delta=PACKETS / 10)
        self.assertAlmostEqual(overload["flood"]["sent_pps"], 4 * PACKETS, delta=PACKETS / 2)
        self.assertIsNotNone(overload["recovery_s"])

    def test_sigint_reports_partial_results(self):
        generator = Generator(self.bed.caller, *self.words("run"), "--calls", CALLS,
                              "--duration", 50)
        relayed = self.relayed()
        # The warm-up relays PACKETS in 1 s. At twice as many the measurement has begun.
        self.wait_for(lambda: self.relayed() >= relayed + 2 * PACKETS, "the measurement",
                      20 * SLOWNESS)
        generator.process.send_signal(signal.SIGINT)
        status, report = generator.end()
        self.assertEqual(status, 0, generator.errors)
        self.assertFalse(report["result"]["complete"])
        self.assertGreater(report["result"]["received"], 0)
        self.assertLess(report["result"]["seconds"], 20)
        self.assert_nothing_left()

    def test_errors_name_the_remedy(self):
        for words, status, error in (
                (self.words("run", "unix:/nonexistent/ng.sock"), 1, "is it running"),
                ((*self.words("run")[:3], "--caller", "203.0.113.77"), 1, "cannot bind"),
                (self.words("churn"), 2, "--cps and --hold"),
                ((*self.words("run"), "--direction", "no,where"), 1, "the relay refuses calls")):
            generator = Generator(self.bed.caller, *words, "--duration", 1)
            self.assertEqual(generator.end()[0], status, words)
            self.assertIn(error, generator.errors)

    def test_a_missed_requirement_is_status_1(self):
        report = self.measure(self.bed.caller, *self.words("run"), "--calls", 2, "--duration", 1,
                              "--max-delay", 0, status=1)
        self.assertFalse(report["met"])


@unittest.skipUnless(shutil.which("rtpengine"), "no rtpengine (Debian package rtpengine-daemon)")
class DirectTest(LoadCase, Case):
    """Generator and relay over shared memory, without the kernel between them."""

    def test_memif(self):
        with tempfile.TemporaryDirectory() as folder:
            wire = f"socket={folder}/memif.sock,socket-abstract=no"
            relay = self.new_relay(
                {"interface": {"device": f"net_memif0,role=server,{wire}"}}).start()
            self.on_device(self.bed.caller, relay, f"net_memif0,role=client,{wire}")
            relay.check_stop()

    def reserve(self, pages):
        """Reserves `pages` more huge pages of 2 MB for virtio-user until the test's end."""
        reserved = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
        before = reserved.read_text()
        try:
            reserved.write_text(str(int(before) + pages))
        except OSError as error:
            self.skipTest(f"huge pages cannot be reserved: {error}")
        self.addCleanup(reserved.write_text, before)
        if int(reserved.read_text()) < int(before) + pages:
            self.skipTest(f"the kernel has no {pages} huge pages free")

    def test_vhost(self):
        self.reserve(96)
        with tempfile.TemporaryDirectory() as folder:
            wire = f"{folder}/vhost.sock"
            relay = self.new_relay({"interface": {"device": f"net_vhost0,iface={wire}"}}).start()
            self.on_device(self.bed.caller, relay, f"net_virtio_user0,path={wire},queue_size=1024",
                           "--hugepages")
            relay.check_stop()


class RealmLoadTest(LoadCase, RelayCase):
    make_bed = RealmBed
    settings = {"interface": REALMS}

    def test_voice_over_ipv6(self):
        report = self.measure(self.bed.caller, "run", "--control", f"unix:{self.relay.socket}",
                              "--caller", CALLER6, "--callee", CALLER6, "--direction",
                              "public,guests", "--calls", CALLS, "--duration", 2, "--warm-up", 1,
                              "--rtcp-interval", 0.5, "--max-loss", 0, "--nap-us", 500,
                              spoilt=self.late)
        self.assert_all_received(report)


class RtpengineTest(LoadCase, unittest.TestCase):
    NEAR, FAR, RELAY = "198.18.4.10", "198.18.4.11", "198.18.4.2"

    def setUp(self):
        self.space, self.relay = Namespace(), Namespace()
        self.addCleanup(self.space.close)
        self.addCleanup(self.relay.close)
        cable(self.space, "eth0", self.relay, "eth0")
        self.space.ip(f"address add {self.NEAR}/24 dev eth0", f"address add {self.FAR}/24 dev eth0")
        self.relay.ip(f"address add {self.RELAY}/24 dev eth0")
        log = self.enterContext(tempfile.TemporaryFile())
        with self.relay:
            self.process = subprocess.Popen(
                ["rtpengine", "--config-file=none", "-f", "-E", "--no-fallback", "--table=-1",
                 "-i", self.RELAY, f"--listen-ng={self.RELAY}:2223", "--num-threads=1",
                 "--log-level=3"],
                stdout=log, stderr=log)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.terminate)
        client = UdpClient(self.space, 2223, address=self.RELAY)
        self.addCleanup(client.close)
        deadline = time.monotonic() + 10 * SLOWNESS
        while True:
            try:
                client.command("ping")
                break
            except OSError:  # rtpengine is starting
                self.assertLess(time.monotonic(), deadline, "rtpengine does not start")
                time.sleep(0.05)

    def test_voice(self):
        report = self.measure(self.space, "run", "--control", f"udp:{self.RELAY}:2223", "--caller",
                              self.NEAR, "--callee", self.FAR, "--calls", CALLS, "--duration", 2,
                              "--rtcp-interval", 0.5, "--max-loss", 0, "--nap-us", 500,
                              "--relay-pid", self.process.pid, spoilt=self.late)
        self.assert_all_received(report)
        self.assertGreater(report["result"]["relay"]["cpu_s"], 0)
        self.assertNotIn("relay_workers", report["result"])

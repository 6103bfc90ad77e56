# SPDX-License-Identifier: BSD-3-Clause
"""The call generator, millrace-load, faces Millrace in every protocol, and Debian's rtpengine."""

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
PACKETS = 2 * CALLS * 50  # a second, both ways
TRIES = 5  # a busy machine spoils a measurement of times, but not all of them


class Generator:
    """Runs millrace-load in a namespace; its JSON tells what it measured."""

    def __init__(self, space, *words):
        self.folder = tempfile.TemporaryDirectory(prefix="millrace-load-")
        self.json = pathlib.Path(self.folder.name) / "result.json"
        with space:
            self.process = subprocess.Popen([PROGRAM, *map(str, words), "--json", self.json],
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                            text=True)

    def end(self, patience=30 * SLOWNESS):
        """Its exit status, and what it measured; a program that hangs is killed."""
        try:
            self.output, self.complaint = self.process.communicate(timeout=patience)
        finally:
            self.process.kill()
            self.process.wait()
        told = json.loads(self.json.read_text()) if self.json.exists() else None
        self.folder.cleanup()
        return self.process.returncode, told


class LoadCase:
    """What both relays are put to."""

    def on_device(self, space, relay, device, *more):
        told = self.measure(space, "run", "--control", f"unix:{relay.socket}", "--device", device,
                            "--caller", "198.18.0.12/24", "--callee", "198.18.0.13/24",
                            "--warm-up", 1, "--duration", 2, "--calls", CALLS,
                            "--rtcp-interval", 0.5, "--max-loss", 0, "--nap-us", 500, *more,
                            spoilt=self.late)
        self.assert_all_heard(told)
        return told

    def measure(self, space, *words, status=0, spoilt=lambda result: False):
        """Once more if this machine's other work has spoilt it."""
        for _ in range(TRIES):
            generator = Generator(space, *words)
            returned, told = generator.end()
            if told is None or not spoilt(told["result"]):
                self.assertEqual(returned, status, generator.output + generator.complaint)
                return told
        self.fail(f"this machine is too busy: {TRIES} measurements were spoilt; the last:\n"
                  + generator.output + generator.complaint)

    @staticmethod
    def late(result):
        """By as much as a packet takes to come round again."""
        return any(result[way]["delay_us"]["p99"] >= 20_000
                   for way in ("caller_to_callee", "callee_to_caller"))

    def assert_all_heard(self, told, seconds=2):
        result = told["result"]
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

    def test_voice_by_a_unix_socket(self):
        before = self.ng.statistics()["totalstatistics"]
        told = self.voice()
        self.assert_all_heard(told)
        after = self.ng.statistics()["totalstatistics"]
        self.assertEqual(after["managedsessions"] - before["managedsessions"], CALLS)
        relayed = after["relayedpackets"] - before["relayedpackets"]
        self.assertGreaterEqual(relayed, told["result"]["received"])
        self.assertGreater(told["result"]["relay_workers"]["busy_cycles_per_packet"], 0)
        self.assertGreater(told["result"]["relay"]["cpu_s"], 0)
        self.assertGreater(told["result"]["relay"]["resident_kb"], 1000)
        for key in ("cpu", "kernel", "cores", "host"):
            self.assertIn(key, told["machine"])
        self.assertEqual(told["conditions"]["flows"], 2 * CALLS)
        self.assertIn("millrace-load run", told["command_line"])
        self.assert_nothing_left()

    def test_voice_behind_nats_with_rtcp_mux(self):
        self.assert_all_heard(self.voice("--nat", "--rtcp-mux", "--connections", "kept"))

    def test_voice_signalled_by_udp(self):
        told = self.measure(self.bed.caller, *self.words("run", f"udp:127.0.0.1:{UDP_PORT}"),
                            "--control-netns", self.bed.relay.path, "--calls", CALLS,
                            "--duration", 2, "--rtcp-interval", 0.5, "--max-loss", 0,
                            spoilt=self.late)
        self.assert_all_heard(told)

    def test_voice_signalled_as_rtpproxy(self):
        path = self.settings["control"][0]["path"]
        self.assert_all_heard(self.voice("--protocol", "rtpproxy", control=f"unix:{path}"))

    def test_voice_signalled_as_mediaproxy(self):
        self.assert_all_heard(self.voice("--protocol", "mediaproxy",
                                         control=f"unix:{self.relay.mediaproxy_socket}"))

    def test_video(self):
        told = self.measure(self.bed.caller, *self.words("run"), "--codec", "video", "--calls", 5,
                            "--duration", 1, "--max-loss", 0)
        self.assertEqual(told["conditions"]["datagram_bytes"], 1212)
        self.assertAlmostEqual(told["result"]["sent"], 1000, delta=100)

    def test_voice_on_a_device(self):
        """Where the kernel has another address: it leaves the generator's to it."""
        for device in ("net_af_packet0,iface=eth0", "net_af_xdp0,iface=eth0,force_copy=1"):
            with self.subTest(device):
                told = self.on_device(self.bed.attacker, self.relay, device)
                self.assertEqual(told["conditions"]["device"], device)

    def test_calls_come_and_go(self):
        told = self.measure(self.bed.caller, *self.words("churn"), "--calls", 5, "--cps", 20,
                            "--hold", 1, "--duration", 3, "--max-loss", 0, "--every", 1)
        result = told["result"]
        self.assertAlmostEqual(result["signalling"]["up"], 60, delta=10)
        self.assertEqual(result["signalling"]["refused"], 0)
        self.assertGreaterEqual(len(result["series"]["rows"]), 3)
        self.assertEqual(sum(row["sent"] for row in result["series"]["rows"]), result["sent"])
        self.assert_nothing_left()

    def test_control_plane_alone(self):
        told = self.measure(self.bed.caller, *self.words("control"), "--duration", 1)
        result = told["result"]
        self.assertGreater(result["cycles"], 100)
        self.assertEqual(result["signalling"]["refused"], 0)
        self.assertGreater(result["relay"]["cpu_us_per_cycle"],
                           result["relay"]["cpu_us_per_cycle_without_workers"])
        filled = self.measure(self.bed.caller, *self.words("fill"), "--calls", 200)["result"]
        self.assertEqual(filled["calls"], 200)
        self.assert_nothing_left()

    def test_latency_beside_an_echo(self):
        for connections in ("new", "kept"):
            told = self.measure(self.bed.caller, *self.words("latency"), "--duration", 1,
                                "--connections", connections)
            offer = told["result"]["commands"]["offer"]
            self.assertGreater(offer["took_us"]["count"], 50)
            self.assertEqual(offer["echo_us"]["count"], offer["took_us"]["count"])
        self.assert_nothing_left()

    def test_search(self):
        def spoilt(result):
            return not any(trial["calls"] == CALLS and not trial["generator_limited"]
                           for trial in result["trials"])

        told = self.measure(self.bed.caller, *self.words("search"), "--calls", CALLS,
                            "--duration", 1, "--allow", 2, spoilt=spoilt)
        result = told["result"]
        tried = {trial["calls"]: trial for trial in result["trials"]}
        self.assertIn(result["ndr"]["calls"], tried)
        self.assertLessEqual(tried[result["ndr"]["calls"]]["lost"], 2)
        self.assertGreaterEqual(result["pdr"]["calls"], result["ndr"]["calls"])
        self.assertEqual(result["ndr"]["packets_per_second"], 100 * result["ndr"]["calls"])

    def test_overload(self):
        told = self.measure(self.bed.caller, *self.words("overload"), "--calls", CALLS,
                            "--duration", 1, "--flood", 1,
                            spoilt=lambda result: not result["generator"]["kept_up"])
        overload = told["result"]["overload"]
        self.assertAlmostEqual(overload["before"]["sent_pps"], PACKETS, delta=PACKETS / 10)
        self.assertAlmostEqual(overload["flood"]["sent_pps"], 4 * PACKETS, delta=PACKETS / 2)
        self.assertIsNotNone(overload["recovery_s"])

    def test_interrupted_it_tells_what_it_has(self):
        generator = Generator(self.bed.caller, *self.words("run"), "--calls", CALLS,
                              "--duration", 50)
        relayed = self.relayed()
        deadline = time.monotonic() + 20 * SLOWNESS
        # Its warm-up is a second of PACKETS, and more than that has been relayed by now.
        while self.relayed() < relayed + 2 * PACKETS and time.monotonic() < deadline:
            time.sleep(0.05)
        generator.process.send_signal(signal.SIGINT)
        status, told = generator.end()
        self.assertEqual(status, 0, generator.complaint)
        self.assertFalse(told["result"]["complete"])
        self.assertGreater(told["result"]["received"], 0)
        self.assertLess(told["result"]["seconds"], 20)
        self.assert_nothing_left()

    def test_what_cannot_be_is_told_with_the_remedy(self):
        for words, status, complaint in (
                (self.words("run", "unix:/nonexistent/ng.sock"), 1, "is it running"),
                ((*self.words("run")[:3], "--caller", "203.0.113.77"), 1, "cannot bind"),
                (self.words("churn"), 2, "--cps and --hold"),
                ((*self.words("run"), "--direction", "no,where"), 1, "the relay refuses calls")):
            generator = Generator(self.bed.caller, *words, "--duration", 1)
            self.assertEqual(generator.end()[0], status, words)
            self.assertIn(complaint, generator.complaint)

    def test_a_missed_requirement_is_status_1(self):
        told = self.measure(self.bed.caller, *self.words("run"), "--calls", 2, "--duration", 1,
                            "--max-delay", 0, status=1)
        self.assertFalse(told["met"])


@unittest.skipUnless(shutil.which("rtpengine"), "no rtpengine (Debian package rtpengine-daemon)")
class DirectTest(LoadCase, Case):
    """Generator and relay share memory, with no kernel between them."""

    def test_memif(self):
        with tempfile.TemporaryDirectory() as folder:
            wire = f"socket={folder}/memif.sock,socket-abstract=no"
            relay = self.new_relay(
                {"interface": {"device": f"net_memif0,role=server,{wire}"}}).start()
            self.on_device(self.bed.caller, relay, f"net_memif0,role=client,{wire}")
            relay.check_stop()

    def reserve(self, pages):
        """That many more huge pages of 2 MB, for virtio-user; given back."""
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
        told = self.measure(self.bed.caller, "run", "--control", f"unix:{self.relay.socket}",
                            "--caller", CALLER6, "--callee", CALLER6, "--direction",
                            "public,guests", "--calls", CALLS, "--duration", 2, "--warm-up", 1,
                            "--rtcp-interval", 0.5, "--max-loss", 0, "--nap-us", 500,
                            spoilt=self.late)
        self.assert_all_heard(told)


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
            except OSError:  # not yet
                self.assertLess(time.monotonic(), deadline, "rtpengine does not start")
                time.sleep(0.05)

    def test_voice(self):
        told = self.measure(self.space, "run", "--control", f"udp:{self.RELAY}:2223", "--caller",
                            self.NEAR, "--callee", self.FAR, "--calls", CALLS, "--duration", 2,
                            "--rtcp-interval", 0.5, "--max-loss", 0, "--nap-us", 500,
                            "--relay-pid", self.process.pid, spoilt=self.late)
        self.assert_all_heard(told)
        self.assertGreater(told["result"]["relay"]["cpu_s"], 0)
        self.assertNotIn("relay_workers", told["result"])

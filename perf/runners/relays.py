# SPDX-License-Identifier: BSD-3-Clause
"""Millrace and rtpengine, each on one core at one end of a veth pair; millrace-load at the other.

Every measurement has its own namespaces and process, so that it starts from a clean state.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import processes

CALLER, CALLEE = "198.18.4.10", "198.18.4.11"
# Where the phones are: on kernel sockets, or on the veth itself for packet rates above these.
SOCKETS = ["--caller", CALLER, "--callee", CALLEE]
DEVICE = ["--device", "net_af_xdp0,iface=eth0,force_copy=1", "--caller", f"{CALLER}/24",
          "--callee", f"{CALLEE}/24"]
ADDRESSES = [f"198.18.4.{host}" for host in range(100, 110)]
RELAY = ADDRESSES[0]
NG_UDP = "127.0.0.1:2223"  # in the relay's namespace
PATIENCE = 240  # seconds; a relay with a backlog slows down each trial
CORE, OTHER_CORE = 1, 0  # of the relay and of the generator
CONFIG = """
[dataplane]
worker_cores = [{worker}]
main_core = {main}
memory_mb = 128
mbufs = 16384
idle_sleep_us = {nap}
[[interface]]
name = "public"
device = "net_af_xdp0,iface=eth0,force_copy=1"
addresses = {addresses}
ports = [1024, 65535]
[[control]]
path = "{ng}"
[[control]]
udp = "{udp}"
[timeouts]
delete_delay = 0
quarantine = 0
[log]
level = "warning"
"""


def use(bed):
    """Makes the smoke tests' modules importable; checks root rights and cores."""
    tests = str(bed.top / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)
    if os.geteuid() != 0:
        raise processes.Missing("needs root to make network namespaces")
    if os.cpu_count() < 2:
        raise processes.Missing("needs two cores: for the relay and for the generator")


class Bench:
    """A relay on the wire, and the generator at the other end."""

    def __init__(self, bed, section, phones, process, controls):
        self.bed, self.section, self.phones = bed, section, phones
        self.process = process
        self.controls = controls  # options of millrace-load by control transport

    def command(self, mode, *words, over=None, wire=SOCKETS):
        control = self.controls[over or next(iter(self.controls))]
        return list(map(str, [
            self.bed.build / "perf" / "millrace-load", mode, *control, *wire,
            "--relay-pid", self.process.pid, "--cpu", OTHER_CORE, *words]))

    def load(self, mode, *words, over=None, wire=SOCKETS):
        """Runs millrace-load; returns its result."""
        with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
            report = pathlib.Path(folder, "result.json")
            command = self.command(mode, *words, over=over, wire=wire)
            self.section.ran(*command)
            with self.phones:
                done = subprocess.run([*command, "--json", report], text=True, capture_output=True,
                                      check=False, timeout=PATIENCE)
            if not report.exists():
                raise processes.Failure(f"millrace-load {mode}:\n{done.stderr[-2000:]}")
            return json.loads(report.read_text())["result"]


@contextlib.contextmanager
def wire():
    """The namespaces of the phones and of the relay, connected by a veth pair."""
    from smoke.netns import Namespace, cable
    with contextlib.ExitStack() as stack:
        phones, relay = Namespace(), Namespace()
        stack.callback(phones.close)
        stack.callback(relay.close)
        cable(phones, "eth0", relay, "eth0")
        phones.ip(f"address add {CALLER}/24 dev eth0", f"address add {CALLEE}/24 dev eth0")
        yield phones, relay


def over_udp(relay):
    return ["--control", f"udp:{NG_UDP}", "--control-netns", relay.path]


def wait_until_ready(client, process, log):
    end = time.monotonic() + 15
    while True:
        with contextlib.suppress(OSError):
            client.command("ping")
            return
        if process.poll() is not None or time.monotonic() > end:
            log.seek(0)
            raise processes.Failure(f"the relay does not start:\n{log.read()[-2000:]}")
        time.sleep(0.05)


@contextlib.contextmanager
def millrace(bed, section, media=True):
    """Starts the daemon. With media, its worker has the relay's core.

    Without, its control threads have the relay's core and the worker sleeps on the other.
    """
    from smoke.ng import UnixClient
    with contextlib.ExitStack() as stack:
        phones, space = stack.enter_context(wire())
        folder = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="millrace-bench-")))
        config, ng = folder / "millrace.toml", folder / "ng.sock"
        cores = {"worker": CORE, "main": OTHER_CORE} if media else {"worker": OTHER_CORE, "main": CORE}
        addresses = json.dumps([f"{address}/24" for address in ADDRESSES])
        config.write_text(CONFIG.format(addresses=addresses, ng=ng, udp=NG_UDP,
                                        nap=0 if media else 1000, **cores))
        command = [bed.build / "control" / "millrace", "--config", config]
        section.ran(*command)
        log = stack.enter_context(tempfile.TemporaryFile("w+"))
        with space:
            started = processes.running(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            process = stack.enter_context(started)
        wait_until_ready(UnixClient(ng), process, log)
        yield Bench(bed, section, phones, process, {
            "unix": ["--control", f"unix:{ng}"],
            "kept": ["--control", f"unix:{ng}", "--connections", "kept"], "udp": over_udp(space)})


@contextlib.contextmanager
def rtpengine(bed, section):
    from smoke.ng import UdpClient
    processes.need("rtpengine", "rtpengine-daemon")
    with contextlib.ExitStack() as stack:
        phones, space = stack.enter_context(wire())
        space.ip(f"address add {RELAY}/24 dev eth0")
        # Without --config-file=none rtpengine reads the package's file, which binds localhost.
        command = ["taskset", "-c", str(CORE), "rtpengine", "--config-file=none", "-f", "-E",
                   "--no-fallback", "--table=-1", "-i", RELAY,
                   f"--listen-ng={NG_UDP}", "--num-threads=1", "--log-level=3",
                   "--port-min=1024", "--port-max=65535", "--delete-delay=0"]
        section.ran(*command)
        log = stack.enter_context(tempfile.TemporaryFile("w+"))
        with space:
            process = stack.enter_context(processes.running(command, stdout=log, stderr=log,
                                                            stdin=subprocess.DEVNULL))
        client = UdpClient(space, int(NG_UDP.rpartition(":")[2]))
        stack.callback(client.close)
        wait_until_ready(client, process, log)
        yield Bench(bed, section, phones, process, {"udp": over_udp(space)})

# SPDX-License-Identifier: BSD-3-Clause
"""The servers of the lab: Kamailio with the shipped example configuration, and Millrace."""

import contextlib
import os
import pathlib
import shutil
import time

import ng
import topology
from processes import Failure, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
KAMAILIO_CONFIG = ROOT / "configs" / "kamailio-rtpengine.cfg"


class Kamailio:
    """One run of the proxy in the core namespace."""

    def __init__(self, programs, directory, namespace, relay_socket=None):
        """Without `relay_socket` the proxy uses no relay."""
        self.runtime = directory / "kamailio"
        shutil.rmtree(self.runtime, ignore_errors=True)
        self.runtime.mkdir()
        if relay_socket:
            relay = f'MR_RTPENGINE="unix:{relay_socket}"'
        else:
            relay = "MR_NO_RELAY"
        defines = [f"MR_ADDRESS={topology.PROXY}", "MR_WORKERS=2", "MR_PING_SECONDS=5",
                   f'MR_RPC="{self.runtime / "rpc.sock"}"', relay]
        self.program = programs.start(
            "kamailio",
            ["kamailio", "-DD", "-E", "-f", KAMAILIO_CONFIG, "-Y", self.runtime,
             "-P", self.runtime / "pid", "-m", "64", "-M", "8",
             *(word for define in defines for word in ("-A", define))],
            namespace, orphaned="TERM")  # on TERM it stops its own children
        self.program.wait_until(self._answers, 8, "an answer on its control socket")

    def command(self, *words):
        return run(["kamcmd", "-s", f"unix:{self.runtime / 'kamailio_ctl'}", *words], check=False)

    def _answers(self):
        return (self.runtime / "kamailio_ctl").exists() and "uptime" in self.command("core.uptime")

    def stop(self):
        self.program.stop()


class Millrace:
    """The relay on its veth end (or tap) in the relay namespace."""

    def __init__(self, programs, directory, topo, binary, nic, media_timeout=60):
        self.programs, self.directory, self.topo, self.binary = programs, directory, topo, binary
        self.socket = directory / "ng.sock"
        self.config = directory / "millrace.toml"
        self.nic, self.media_timeout = nic, media_timeout
        self.config.write_text(self._configuration())
        self.program = None

    def _configuration(self):
        cores = sorted(os.sched_getaffinity(0))
        device = {
            "af_packet": f"net_af_packet0,iface={topology.RELAY_DEVICE}",
            # A veth needs copy mode. Busy polling would only load the second core.
            "af_xdp": f"net_af_xdp0,iface={topology.RELAY_DEVICE},force_copy=1,busy_budget=0",
            "tap": f"net_tap0,iface={topology.RELAY_TAP}",
        }[self.nic]
        return f"""\
# The lab's relay: no hugepages, one worker that sleeps when idle.
[dataplane]
main_core = {cores[0]}
worker_cores = [{cores[-1]}]
hugepages = false
memory_mb = 128
mbufs = 16384
idle_sleep_us = 50

[[interface]]
name = "internet"
device = "{device}"
addresses = ["{topology.RELAY}/24"]
ports = [30000, 39999]

[[control]]
protocol = "ng"
path = "{self.socket}"
mode = 0o660

[[notify]]
type = "kamailio"
path = "{self.directory / 'kamailio' / 'rpc.sock'}"
reply_path = "{self.directory / 'replies.sock'}"

[timeouts]
delete_delay = 2
media = {self.media_timeout}

[log]
level = "info"
"""

    def start(self):
        self.program = self.programs.start(
            "millrace", [self.binary, "--config", self.config], self.topo["relay"])
        self.program.wait_until(self._answers, 15, "an answer to a ping on its control socket")
        if self.nic == "tap":
            self.topo.bridge_tap()

    def _answers(self):
        with contextlib.suppress(OSError):
            return self.ask("ping") == {"result": "pong"}
        return False

    def ask(self, command, **arguments):
        return ng.request(self.socket, command, **arguments)

    def only_call(self):
        """Waits until the relay has exactly one call; returns its Call-ID."""
        def listed():
            return self.ask("list").get("calls", [])
        self.program.wait_until(lambda: len(listed()) == 1, 10, "list of exactly one call")
        return listed()[0]

    def call_report(self):
        """The reply to `query` of the only call."""
        reply = self.ask("query", call_id=self.only_call())
        if reply.get("result") != "ok":
            raise self.program.failure(f"query of a live call returned {reply}")
        return reply

    def stop(self):
        """Sends SIGTERM; returns the exit status and the seconds until the exit."""
        asked = time.monotonic()
        status = self.program.stop(timeout=5)
        return status, time.monotonic() - asked


def find_millrace(path):
    if not path.is_file() or not os.access(path, os.X_OK):
        raise Failure(f"{path} is not a program: build it (`make`) or set MILLRACE=PATH")
    return path.resolve()

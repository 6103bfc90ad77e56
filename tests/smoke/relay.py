# SPDX-License-Identifier: BSD-3-Clause
"""The relay daemon under test: config file, process, log."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from smoke.ng import UnixClient

BUILD = pathlib.Path(os.environ.get("MILLRACE_BUILD", "build"))
PROGRAM = BUILD / "control" / "millrace"
SANITIZED = "san" in BUILD.name  # build-asan, build-tsan: several times slower
SLOWNESS = 8 if SANITIZED else 1
ADDRESS, SECOND_ADDRESS, GATEWAY = "198.18.0.2", "198.18.0.3", "198.18.0.1"
UDP_PORT = 2223


def toml(value):
    """A TOML value; for the types used here it is written like JSON."""
    return json.dumps(value)


class Relay:
    """`settings` replace the defaults: {"timeouts": {"media": 2}, "interface": {...}}.

    A list of interfaces replaces all of them. The list of "control" adds sockets.
    """

    def __init__(self, space, settings=None, folder=None):
        self.space = space
        self.folder = folder or pathlib.Path(tempfile.mkdtemp(prefix="millrace-smoke-"))
        self.socket = self.folder / "ng.sock"
        self.mediaproxy_socket = self.folder / "mediaproxy.sock"
        self.config = self.folder / "millrace.toml"
        self.log = self.folder / "log"
        self.config.write_text(self._config(settings or {}), encoding="ascii")
        self.ng = UnixClient(self.socket)
        self.process = None

    def _config(self, settings):
        tables = {
            "dataplane": {"worker_cores": [1], "main_core": 0, "memory_mb": 128, "mbufs": 8192,
                          "idle_sleep_us": 50},
            "interface": {"name": "public", "device": "net_af_packet0,iface=relay0",
                          "addresses": [ADDRESS + "/24", SECOND_ADDRESS + "/24"],
                          "gateway": GATEWAY},
            "timeouts": {"quarantine": 0, "delete_delay": 0},
            "limits": {},
            "log": {"level": "debug"},
        }
        if "notify" in settings:
            tables["notify"] = {}
        lines = []
        for name, values in tables.items():
            given = settings.get(name, {})
            if isinstance(given, list):  # whole interfaces
                for each in given:
                    lines += [f"[[{name}]]"] + [f"{k} = {toml(v)}" for k, v in each.items()]
                continue
            lines.append(f"[[{name}]]" if name in ("interface", "notify") else f"[{name}]")
            lines += [f"{key} = {toml(value)}" for key, value in (values | given).items()]
        for control in [{"path": str(self.socket)}, {"udp": f"127.0.0.1:{UDP_PORT}"},
                        {"protocol": "mediaproxy", "path": str(self.mediaproxy_socket)},
                        *settings.get("control", [])]:
            lines += ["[[control]]", *(f"{key} = {toml(value)}" for key, value in control.items())]
        return "\n".join(lines) + "\n"

    def spawn(self):
        """Starts the process and returns it without waiting for it."""
        with self.space, open(self.log, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "--config", self.config], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        return self.process

    def start(self):
        """Starts the daemon and returns once it answers a ping."""
        self.spawn()
        deadline = time.monotonic() + 10 * SLOWNESS
        while True:
            try:
                assert self.ng.command("ping")["result"] == "pong"
                return self
            except OSError as refusal:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the relay does not start ({refusal}):\n"
                                       f"{self.text()}") from refusal
                time.sleep(0.01)

    def stop(self, patience=2.0 * SLOWNESS):
        """Sends SIGTERM; returns the exit status, or fails after `patience` seconds."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no exit {patience} s after SIGTERM:\n{self.text()}") from None

    def check_stop(self):
        """Stops the daemon; checks for exit status 0 and no sanitizer report."""
        status = self.stop()
        text = self.text()
        assert status == 0, f"exit status {status}:\n{text}"
        report = re.search(r"(Sanitizer|runtime error):?.*", text)
        assert not report, text[report.start():]

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-8000:]

    def resident_kb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def close(self):
        """Kills the process if it still runs, and removes its files."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

# SPDX-License-Identifier: BSD-3-Clause
"""The relay daemon under test: its config file, its process, its log."""

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
SANITIZED = "san" in BUILD.name  # build-asan, build-tsan: all is several times slower
SLOWNESS = 8 if SANITIZED else 1
ADDRESS, SECOND_ADDRESS, GATEWAY = "198.18.0.2", "198.18.0.3", "198.18.0.1"
UDP_PORT = 2223


def toml(value):
    """A value of a config file; JSON's notation is TOML's for what is used here."""
    return json.dumps(value)


class Relay:
    """`settings` replace the default ones: {"timeouts": {"media": 2}, "interface": {...}}; a list
    of interfaces stands for all of them, and those of "control" are further sockets, in a list."""

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
            if isinstance(given, list):  # of whole interfaces
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
        """Starts the process and returns it, ready or not."""
        with self.space, open(self.log, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "--config", self.config], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        return self.process

    def start(self):
        """Starts it and returns when it answers."""
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
        """Asks it to end; returns its exit status, or fails when it takes longer."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no exit {patience} s after SIGTERM:\n{self.text()}") from None

    def check_stop(self):
        """Ends it in good order: status 0, and no sanitizer had anything to report."""
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
        """Whatever happened: no process and no file is left."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

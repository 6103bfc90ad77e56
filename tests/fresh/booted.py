# SPDX-License-Identifier: BSD-3-Clause
"""A root booted by systemd-nspawn with only a loopback network; runs commands in it."""

import subprocess
import time

import root

PATIENCE = 120  # seconds until the boot has finished


class Booted:
    """`fresh` is a root.Root with systemd installed."""

    def __init__(self, fresh):
        self.fresh = fresh
        self.log = root.FOLDER / "boot.log"

    def __enter__(self):
        # --register=no, --keep-unit: works on hosts without machined and systemd. unshare --net,
        # because --private-network hides /sys/module, which DPDK reads.
        command = ["unshare", "--net", "systemd-nspawn", "--quiet", "--directory", self.fresh.path, "--boot",
                   "--machine=millrace-install", "--register=no", "--keep-unit",
                   "--capability=CAP_NET_ADMIN", "--resolv-conf=off", "--timezone=off", "--console=pipe"]
        with open(self.log, "w") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output)
        try:
            self.leader = self._wait("its first process", lambda: root.first_child(self.process))
            self._wait("the end of the boot", self._is_up)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()  # an orderly shutdown
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            root.stop(self.process)

    def _wait(self, what, condition):
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise root.Failure(f"systemd-nspawn: timeout waiting for {what}: see {self.log}")
            time.sleep(0.1)
        return value

    def _is_up(self):
        # "degraded": booted, but a unit failed. Some Debian units fail in a container.
        return self.run("systemctl is-system-running")[1].strip() in ("running", "degraded")

    def run(self, line, patience=PATIENCE, show=False):
        """Runs a shell line in the clone as root; returns the exit status and the output."""
        process = subprocess.Popen(
            ["timeout", str(patience), "nsenter", "--all", f"--target={self.leader}", "/bin/sh",
             "-c", f"cd /root/millrace && {{ {line}\n}}"],
            env=root.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace")
        output = ""
        for text in process.stdout:
            output += text
            if show:
                print(text, end="", flush=True)
        return process.wait(), output

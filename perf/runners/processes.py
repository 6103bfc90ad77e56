# SPDX-License-Identifier: BSD-3-Clause
"""Programs that a measurement needs, each stopped when the measurement ends."""

import contextlib
import pathlib
import re
import select
import shutil
import signal
import subprocess
import time

HUGE = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")


class Missing(Exception):
    """A requirement of the measurement is missing; the part is skipped."""


class Failure(Exception):
    """The measurement started and failed."""


def need(program, package):
    if not shutil.which(program):
        raise Missing(f"no {program}: install the Debian package {package} (.ci/deps bench)")


@contextlib.contextmanager
def running(command, **options):
    """Yields the process; then stops it by SIGTERM, after 5 s by SIGKILL."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def hugepages(count):
    """Reserves `count` more huge pages of 2 MB, and returns them afterwards."""
    try:
        before = int(HUGE.read_text())
        HUGE.write_text(str(before + count))
    except OSError as error:
        raise Missing(f"cannot reserve {count} huge pages of 2 MB ({error}): run as root") from error
    try:
        if int(HUGE.read_text()) < before + count:
            raise Missing(f"the kernel has no {count} huge pages of 2 MB free")
        yield
    finally:
        HUGE.write_text(str(before))


class Testpmd:
    """dpdk-testpmd, controlled at its prompt."""
    PROMPT = "testpmd> "

    def __init__(self, process):
        self.process = process
        self.read()

    @classmethod
    @contextlib.contextmanager
    def start(cls, eal, options, record=lambda *_: None):
        need("dpdk-testpmd", "dpdk-dev")
        command = ["dpdk-testpmd", *eal, "--no-telemetry", "--", "-i", *options]
        record(*command)
        # Without line buffering testpmd flushes only its prompt at once.
        with running(["stdbuf", "-oL", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                     stderr=subprocess.STDOUT, bufsize=0) as process:
            testpmd = cls(process)
            testpmd.command("set record-core-cycles on")
            yield testpmd

    def read(self, patience=20):
        """Output up to a prompt followed by 0.1 s of silence: some commands prompt twice."""
        text, end = "", time.monotonic() + patience
        while True:
            prompted = text.endswith(self.PROMPT)
            wait = 0.1 if prompted else max(0, end - time.monotonic())
            if not select.select([self.process.stdout], [], [], wait)[0]:
                if prompted:
                    return text
                raise Failure(f"testpmd does not prompt within {patience} s:\n{text[-2000:]}")
            piece = self.process.stdout.read(65536).decode(errors="replace")
            if not piece:
                raise Failure(f"testpmd exited:\n{text[-2000:]}")
            text += piece

    def command(self, command):
        """Sends a command; returns its output."""
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self.read()


def cycles_per_packet(output):
    """Cycles per packet in the output of testpmd's `stop`."""
    match = re.search(r"CPU cycles/packet=([0-9.]+)", output)
    if not match:
        raise Failure(f"testpmd printed no cycles per packet:\n{output[-2000:]}")
    return float(match[1])

# SPDX-License-Identifier: BSD-3-Clause
"""Child processes of the lab: start, failure, interruption by the user.

Every child is recorded as soon as it exists, writes to its own log, and ends with the lab: stopped
by pid at exit, or by the kernel (PDEATHSIG) if the lab is killed.
"""

import contextlib
import os
import signal
import subprocess
import time


class Failure(Exception):
    """A step failed; the text is for the user."""


class Interrupted(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived."""


class Signals:
    """Turns the first signal into Interrupted, except between a child's start and its recording."""

    def __init__(self):
        self._held = 0
        self._received = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._arrived)

    def _arrived(self, number, _frame):
        if self._received:
            return
        self._received = number
        if not self._held:
            raise Interrupted(signal.Signals(number).name)

    @contextlib.contextmanager
    def held(self):
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if self._received and not self._held:
            raise Interrupted(signal.Signals(self._received).name)

    def hold_for_good(self):
        """Blocks further interruption while the lab is removed."""
        self._held += 1


class Program:
    """One child process with its log."""

    def __init__(self, name, popen, log):
        self.name, self.popen, self.log = name, popen, log

    @property
    def running(self):
        return self.popen.poll() is None

    def log_text(self):
        return self.log.read_text(errors="replace")

    def failure(self, what):
        tail = "\n".join("    " + line for line in self.log_text().splitlines()[-12:])
        return Failure(f"{self.name}: {what}; end of its log {self.log}:\n{tail}")

    def wait(self, timeout):
        """Waits until the program ends; returns its exit status."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not end within {timeout:g} s") from None

    def wait_until(self, ready, timeout, what):
        """Waits until ready() is true; fails if the program ends first."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise self.failure(f"exited with status {self.popen.returncode} before {what}")
            if time.monotonic() > deadline:
                raise self.failure(f"no {what} within {timeout:g} s")
            time.sleep(0.05)

    def stop(self, timeout=5.0, number=signal.SIGTERM):
        """Sends signal `number`, then SIGKILL after `timeout`; exit status, None if killed."""
        asked = self.popen.poll() is not None
        if not asked:
            self.popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout)
                asked = True
        with contextlib.suppress(ProcessLookupError):  # also kills children of the program
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        return self.popen.returncode if asked else None


class Programs:
    """All child processes of one lab."""

    def __init__(self, directory, signals):
        self.directory, self.signals = directory, signals
        self._started = []

    def start(self, name, argv, namespace, orphaned="KILL"):
        """`orphaned`: the signal sent to the program if the lab is killed."""
        number = sum(p.name == name for p in self._started) + 1
        log = self.directory / (f"{name}.log" if number == 1 else f"{name}-{number}.log")
        with self.signals.held(), open(log, "wb") as out:
            popen = subprocess.Popen(
                [*namespace.enter(), "setpriv", "--pdeathsig", orphaned, *map(str, argv)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                cwd=self.directory, start_new_session=True)
            program = Program(name, popen, log)
            self._started.append(program)
        return program

    def stop_all(self):
        running = [p for p in reversed(self._started) if p.running]
        for program in running:
            program.popen.terminate()
        for program in running:
            program.stop(timeout=3.0)


def run(argv, namespace=None, timeout=10.0, check=True):
    """Runs a short command and returns its output."""
    prefix = namespace.enter() if namespace else []
    argv = [*prefix, *map(str, argv)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL, start_new_session=True)
    except FileNotFoundError:
        raise Failure(f"{argv[0]} is not installed: run `make deps`") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"`{' '.join(argv)}` did not end within {timeout:g} s") from None
    if check and done.returncode:
        raise Failure(f"`{' '.join(argv)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout

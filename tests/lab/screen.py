# SPDX-License-Identifier: BSD-3-Clause
"""Screen output: numbered steps with their time, checks, tables."""

import os
import sys
import time

from processes import Failure, Interrupted


class Screen:
    def __init__(self, steps):
        self.steps, self.number = steps, 0
        self.began = self.step_began = time.monotonic()
        self.failed = []
        self._live = sys.stdout.isatty()
        self._colour = {"ok": "\033[32m", "FAIL": "\033[31m"} if self._live else {}

    def line(self, text="", end="\n"):
        try:
            print(text, end=end, flush=True)
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")
            raise Interrupted("output closed") from None

    def step(self, title):
        self.end_step()
        self.number += 1
        self.step_began = time.monotonic()
        self.line(f"\n[{self.number}/{self.steps}] {title}")

    def end_step(self):
        """Prints the step's time. Fails if a check of the step failed, after all were printed."""
        if self.number:
            self.line(f"      {time.monotonic() - self.step_began:.1f} s")
        if self.failed:
            raise Failure("failed: " + "; ".join(self.failed))

    def note(self, text):
        self.line("      " + text)

    def check(self, passed, text):
        mark = "ok" if passed else "FAIL"
        colour = self._colour.get(mark, "")
        self.line(f"  {colour}{mark:>4}{colour and chr(27) + '[0m'} {text}")
        if not passed:
            self.failed.append(text)

    def wait(self, seconds, what):
        """Waits, with a progress bar on a terminal."""
        began = time.monotonic()
        if not self._live:
            self.note(f"{what} for {seconds:g} s")
        while (passed := time.monotonic() - began) < seconds:
            if self._live:
                done = int(30 * passed / seconds)
                self.line(f"\r      {what} [{'#' * done}{'.' * (30 - done)}] "
                          f"{passed:.0f}/{seconds:g} s", end="")
            time.sleep(min(0.2, max(seconds - passed, 0.01)))
        if self._live:
            self.line("\r\033[K", end="")

    def table(self, heads, rows):
        rows = [list(map(str, row)) for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *rows)]
        for row in [heads, ["-" * width for width in widths], *rows]:
            self.line("      " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip())

    def seconds(self):
        return time.monotonic() - self.began

# SPDX-License-Identifier: BSD-3-Clause
"""Terminal output of a run: a progress bar with the remaining time, tables."""

import shutil
import sys
import time


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Progress of parts with planned durations.

    The remaining time is scaled by the pace of the parts so far. Without a terminal, only the names
    of the parts are printed.
    """

    def __init__(self, expected, out=sys.stderr, now=time.monotonic):
        self.expected = dict(expected)  # {part: seconds}
        self.out, self.now = out, now
        self.start = now()
        self.done = 0.0
        self.part, self.share = None, 0.0
        self.drawn = False

    def begin(self, part):
        self.part, self.share = part, 0.0
        if not self.out.isatty():
            print(f"bench: {part} ...", file=self.out, flush=True)
        self.draw()

    def step(self, share):
        """Sets the completed share of the part, 0 to 1."""
        self.share = min(share, 1.0)
        self.draw()

    def end(self):
        self.done += self.expected[self.part]
        self.part, self.share = None, 0.0
        self.draw()

    def fraction(self):
        whole = sum(self.expected.values())
        here = self.share * self.expected[self.part] if self.part else 0
        return (self.done + here) / whole if whole else 1.0

    def left(self):
        """Remaining seconds: the plan scaled by the pace so far.

        The plan weighs in as a tenth of the run, because the first seconds are a noisy estimate.
        """
        whole = sum(self.expected.values())
        fraction = self.fraction()
        pace = (self.now() - self.start + whole / 10) / (fraction * whole + whole / 10)
        return (1 - fraction) * whole * pace

    def draw(self):
        if not self.out.isatty():
            return
        width = max(10, min(40, shutil.get_terminal_size().columns - 40))
        full = round(self.fraction() * width)
        self.out.write(f"\r[{'#' * full}{'.' * (width - full)}] {self.fraction():4.0%} "
                       f"{clock(self.left())} left  {self.part or '':<12}\x1b[K")
        self.out.flush()
        self.drawn = True

    def clear(self):
        if self.drawn:
            self.out.write("\r\x1b[K")
            self.out.flush()


def table(columns, rows):
    """Formats rows as columns of minimal width."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *rows)]
    lines = [columns, *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in lines)

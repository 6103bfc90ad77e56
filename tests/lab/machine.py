# SPDX-License-Identifier: BSD-3-Clause
"""Machine load during a measurement, to explain delay that the relay does not cause."""

import os
import pathlib

BUSY = 0.9  # share of the CPU time of all cores above which threads queue for a core
STEAL = 0.02  # share of that time taken by other guests of the host


def read_times():
    """Clock ticks of all cores since boot: (all, idle, stolen) (proc(5), /proc/stat)."""
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) for word in words] + [0] * (8 - len(words))
    return sum(ticks), ticks[3] + ticks[4], ticks[7]


def reason(before, after, load, cores):
    """Describes the load between two read_times(); None if the machine was not busy."""
    total, idle, stolen = (end - start for start, end in zip(before, after))
    if total <= 0:
        return None
    found = []
    if stolen >= STEAL * total:
        found.append(f"other guests of its host took {100 * stolen / total:.0f} % of the CPU time")
    if idle <= (1 - BUSY) * total:
        found.append(f"its {cores} cores were {100 * (total - idle) / total:.0f} % busy, "
                     f"load average {load:.1f}")
    return " and ".join(found) or None


class Meter:
    def __init__(self):
        self.before = read_times()

    def reason(self):
        return reason(self.before, read_times(), os.getloadavg()[0], os.cpu_count())

# SPDX-License-Identifier: BSD-3-Clause
"""Bar 1: instructions per packet."""

import instructions
import processes
import results

TITLE = "Instructions per packet"
METHOD = """Relay::burst() under callgrind, which counts instructions instead of time: the figure
    repeats to 0.1 % on any machine. 98,304 packets of random flows, statistics on, IPv4 header
    checksum verified in software. A miss is a dropped packet, a latch the first packet of its
    flow."""
BARS = ("1",)
SECONDS = 35


def run(bed, section):
    folder = bed.build / "perf"
    budget = instructions.read_budget((bed.top / "perf" / "budget").read_text())
    section.ran("make checkperf")
    rows = []
    for number, (case, allowed) in enumerate(budget.items(), 1):
        try:
            counted = instructions.count(folder, case)
        except instructions.Failure as failure:
            raise processes.Missing(str(failure)) from failure
        if case == "ipv4/flows:1000/burst:32":
            section.figures.append(results.Figure(results.GOALS["1"][0], counted, "", "1"))
        rows.append([case, round(counted, 1), allowed])
        bed.step(number / len(budget))
    section.tables.append(results.Table("Instructions per packet by case", ["case", "counted",
                                                                            "budget"], rows))
    section.plots.append(results.Plot("bars", "Instructions per packet", "", "instructions",
                                      {"counted": [(row[0], row[1]) for row in rows[:5]]}))

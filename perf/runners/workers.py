# SPDX-License-Identifier: BSD-3-Clause
"""Bars 6 and 7: a second worker, and flows that change."""

import programs
import results
import stats

TITLE = "Two workers, and 10,000 flow changes a second"
METHOD = """The worker loop on net_ring, a port and 1,000 flows a worker, 8,192 packets going round on
    each; headers are written back between laps, outside of what is timed. Apart: a worker in each of
    two processes at the same time, which share nothing but the machine. Changes: another thread
    publishes new paths, publishes live ones again and withdraws, 10,000 times a second in all. Each
    repetition runs for 0.2 s, its figure is that of the median lap; cases take turns at random."""
BARS = ("6", "7")
SECONDS = 17


def run(bed, section):
    found = programs.repetitions(bed.build / "perf" / "worker_bench", ".", 2 * stats.PAIRS, 0,
                                 section.ran)

    def rate(case):
        return programs.values(found, f"worker/{case}", "packets/s")

    section.compare("6", stats.Comparison.of(zip(rate("two"), rate("one"))),
                    note="the next figure is what the machine has to give, the one after it what is ours")
    section.compare("", stats.Comparison.of(zip(rate("apart"), rate("one"))),
                    "two processes of one worker / one", "they share nothing but the machine")
    section.compare("", stats.Comparison.of(zip(rate("two"), rate("apart"))),
                    "two workers / two processes of one worker")
    section.compare("7", stats.Comparison.of(zip(rate("changes"), rate("one"))))
    rows = [[case, round(stats.Spread.of(rate(case)).median / 1e6, 2),
             round(stats.Spread.of(programs.values(found, f"worker/{case}",
                                                   "cycles/packet")).median, 1)]
            for case in ("one", "two", "apart", "changes")]
    section.tables.append(results.Table("Workers", ["case", "Mpps in all", "cycles per packet"], rows))

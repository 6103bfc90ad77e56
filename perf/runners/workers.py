# SPDX-License-Identifier: BSD-3-Clause
"""Bars 6 and 7: a second worker, and flow changes."""

import programs
import results
import stats

TITLE = "Two workers, and 10,000 flow changes per second"
METHOD = """The worker loop on net_ring, with a port and 1,000 flows per worker and 8,192 packets
    looping on each; headers are written back between laps, outside the timed part. Apart: one
    worker in each of two processes at the same time, which share only the machine. Changes: another
    thread publishes new paths, republishes live ones and withdraws them, 10,000 times per second in
    total. Each repetition runs for 0.2 s; its figure is the median lap. Cases alternate at random."""
BARS = ("6", "7")
SECONDS = 17


def run(bed, section):
    found = programs.repetitions(bed.build / "perf" / "worker_bench", ".", 2 * stats.PAIRS, 0,
                                 section.ran)

    def rate(case):
        return programs.values(found, f"worker/{case}", "packets/s")

    section.compare("6", stats.Comparison.of(zip(rate("two"), rate("one"))),
                    note="the next figure is the machine's share, the one after it Millrace's")
    section.compare("", stats.Comparison.of(zip(rate("apart"), rate("one"))),
                    "two processes of one worker / one", "the processes share only the machine")
    section.compare("", stats.Comparison.of(zip(rate("two"), rate("apart"))),
                    "two workers / two processes of one worker")
    section.compare("7", stats.Comparison.of(zip(rate("changes"), rate("one"))))
    rows = [[case, round(stats.Spread.of(rate(case)).median / 1e6, 2),
             round(stats.Spread.of(programs.values(found, f"worker/{case}",
                                                   "cycles/packet")).median, 1)]
            for case in ("one", "two", "apart", "changes")]
    section.tables.append(results.Table("Workers", ["case", "Mpps in total", "cycles per packet"], rows))

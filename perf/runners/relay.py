# SPDX-License-Identifier: BSD-3-Clause
"""Bars 4 and 5: cycles per packet, by number of flows and by burst size."""

import programs
import results
import stats

TITLE = "Cycles per relayed packet, without a NIC"
METHOD = """Relay::burst() over laps of 8,192 packets of random flows, each last used one lap before;
    packets and slots in transparent huge pages. The figure of a repetition is its median lap; cases
    alternate at random. Cycles are those of the time stamp counter."""
BARS = ("4", "5")
SECONDS = 50
FLOWS = (1_000, 10_000, 100_000, 1_000_000)
BURSTS = (1, 4, 8, 32)


def run(bed, section):
    found = programs.repetitions(bed.build / "perf" / "relay_bench", "^relay/", stats.PAIRS, 0.02,
                                 section.ran)

    def cycles(case):
        return programs.values(found, f"relay/{case}", "cycles/packet")

    section.conditions["huge pages in use, MB"] = max(
        case["huge_mb"] for repeated in found.values() for case in repeated)
    base = cycles("ipv4/flows:1000/burst:32")
    section.compare("4", stats.Comparison.of(zip(cycles("ipv4/flows:1000000/burst:32"), base)),
                    note="a slot is two cache lines; 1,000,000 slots exceed all caches")
    section.compare("5", stats.Comparison.of(zip(cycles("ipv4/flows:1000/burst:4"), base)),
                    note="four packets share the fixed cost of a burst")
    rows = []
    for case in found:
        spread = stats.Spread.of(cycles(case.removeprefix("relay/")))
        rows.append([case.removeprefix("relay/"), round(spread.median, 1),
                     f"{spread.low:.1f} to {spread.high:.1f}"])
    section.tables.append(results.Table("Cycles per packet by case", ["case", "median",
                                                                      "middle half"], sorted(rows)))
    by_flows = {f"IPv4, burst 32": [
        (flows, stats.Spread.of(cycles(f"ipv4/flows:{flows}/burst:32")).median) for flows in FLOWS]}
    by_burst = {"IPv4, 1,000 flows": [
        (f"burst {burst}", stats.Spread.of(cycles(f"ipv4/flows:1000/burst:{burst}")).median)
        for burst in BURSTS]}
    section.plots += [
        results.Plot("lines", "Cycles per packet by the number of flows", "flows", "cycles",
                     by_flows, log_x=True),
        results.Plot("bars", "Cycles per packet by burst", "", "cycles", by_burst)]

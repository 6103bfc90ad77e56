# SPDX-License-Identifier: BSD-3-Clause
"""Single parts of the packet path: look-up, checksum, classifier."""

import programs
import results
import stats

TITLE = "Look-up, checksum, classifier"
METHOD = """Look-up: from 32 random packets at a time to the first word of their flows, by the port's
    slot and by rte_hash_lookup_bulk_data with the flow's cache line prefetched; both tables in huge
    pages. Checksum: both checksums of a packet, updated incrementally (RFC 1624) and computed in
    full. Classifier: frames in the L1 cache. Cases alternate at random; medians."""
BARS = ()
SECONDS = 75
FLOWS = (1_000, 10_000, 100_000, 1_000_000)


def run(bed, section):
    folder = bed.build / "perf"
    found = programs.repetitions(folder / "flow_table_bench", ".", stats.PAIRS, 0.05, section.ran)
    rows, series = [], {"slot by port": [], "rte_hash, bulk": []}
    for flows in FLOWS:
        both = stats.Comparison.of(zip(programs.values(found, f"hash/flows:{flows}", "cycles/packet"),
                                       programs.values(found, f"slots/flows:{flows}", "cycles/packet")))
        rows.append([f"{flows:,}", round(both.b.median, 1), round(both.a.median, 1),
                     round(both.ratio.median, 1)])
        series["slot by port"].append((flows, both.b.median))
        series["rte_hash, bulk"].append((flows, both.a.median))
    section.tables.append(results.Table("Look-up, cycles per packet",
                                        ["flows", "slot by port", "rte_hash bulk", "ratio"], rows))
    section.plots.append(results.Plot("lines", "Look-up of a packet's flow", "flows", "cycles",
                                      series, log_x=True))
    bed.step(0.7)
    found = programs.repetitions(folder / "checksum_bench", ".", stats.PAIRS, 0.02, section.ran)
    rows = [[case, round(stats.Spread.of(programs.values(found, case, "cpu_time")).median, 2)]
            for case in found]
    section.tables.append(results.Table("Checksums of one packet, ns", ["case", "median"], rows))
    bed.step(0.8)
    found = programs.repetitions(folder / "frame_bench", ".", stats.PAIRS, 0.02, section.ran)
    rows = [[case, round(stats.Spread.of(programs.values(found, case, "cycles/packet")).median, 1)]
            for case in found]
    section.tables.append(results.Table("Classifier, cycles per frame", ["frame", "median"], rows))

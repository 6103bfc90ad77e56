# SPDX-License-Identifier: BSD-3-Clause
"""Bar 2: what relaying adds to moving packets, against what testpmd's csum adds."""

import processes
import programs
import results
import stats
import time

TITLE = "Beside testpmd on net_ring"
METHOD = """Packets of 214 bytes go round on rings, 8,192 with the relay and 8,352 with testpmd (nine
    queues of 928, as its rings hold 1,023), one core, huge pages. io moves them, csum also swaps
    MACs and recomputes the IPv4 checksum (UDP's is 0 there), the relay's worker does all that
    relaying is. testpmd counts the cycles of polls that carried packets; the worker's are those of
    the median lap, polls included, without the header write-back that makes each relayed packet a
    party's packet again. io, csum and relay take turns; medians of the runs."""
BARS = ("2",)
SECONDS = 45
PAGES = 256
RUNS = stats.PAIRS
MANY, FEW = 29, 1  # bursts of 32 on each queue: 8,352 packets and 288
EAL = ["--lcores", "0@0,1@1", "-n", "1", "--in-memory", "--no-pci", "-m", "256",
       "--vdev", "net_ring0"]
OPTIONS = ["--rxq=9", "--txq=9", "--nb-cores=1", "--total-num-mbufs=20000", "--port-topology=loop",
           "--txpkts=214"]


def forward(testpmd, mode, bursts):
    """Cycles per packet of a while, with so many bursts on each queue."""
    testpmd.say(f"set fwd {mode}")
    testpmd.say(f"start tx_first {bursts}")
    time.sleep(0.4)
    return processes.cycles_per_packet(testpmd.say("stop"))


def run(bed, section):
    def relay():
        found = programs.repetitions(bed.build / "perf" / "worker_bench", "worker/one", 1, 0,
                                     section.ran)
        return programs.values(found, "worker/one", "cycles/packet")[0]

    runs = {"io": [], "csum": [], "relay": [], "io, 288 packets": [], "csum, 288 packets": []}
    with processes.hugepages(PAGES), processes.Testpmd.start(EAL, OPTIONS, section.ran) as testpmd:
        for number in range(RUNS):
            runs["io"].append(forward(testpmd, "io", MANY))
            runs["relay"].append(relay())
            for mode in ("csum", "io, 288 packets", "csum, 288 packets"):
                bursts = FEW if "288" in mode else MANY
                runs[mode].append(forward(testpmd, mode.split(",")[0], bursts))
            bed.step((number + 1) / RUNS)
    spread = {side: stats.Spread.of(found) for side, found in runs.items()}
    io, csum, relayed = (spread[side].median for side in ("io", "csum", "relay"))
    section.figures.append(results.Figure(
        results.GOALS["2"][0], (relayed - io) / (csum - io), "", "2",
        f"{RUNS} runs of each", "csum prefetches one packet ahead and waits for the caches"))
    io_few, csum_few = (spread[f"{mode}, 288 packets"].median for mode in ("io", "csum"))
    section.figures.append(results.Figure(
        "the same against testpmd with its packets in the first caches (288; the relay's still 8,192)",
        (relayed - io) / (csum_few - io_few), "", "", f"{RUNS} runs of each",
        "the harder comparison: what csum costs when it waits for no memory"))
    rows = [[side, round(each.median, 1), f"{each.low:.1f} to {each.high:.1f}"]
            for side, each in spread.items()]
    section.tables.append(results.Table("Cycles per packet on net_ring", ["side", "median",
                                                                          "middle half"], rows))
    section.plots.append(results.Plot("bars", "Cycles per packet on net_ring", "", "cycles",
                                      {"median": [(row[0], row[1]) for row in rows]}))

# SPDX-License-Identifier: BSD-3-Clause
"""Bar 2: cycles that relaying adds to io forwarding, compared with testpmd's csum."""

import processes
import programs
import results
import stats
import time

TITLE = "Beside testpmd on net_ring"
METHOD = """Packets of 214 bytes loop on rings: 8,192 with the relay, 8,352 with testpmd (nine queues
    of 928, because its rings hold 1,023). One core, huge pages. io moves packets. csum also swaps
    MACs and recomputes the IPv4 checksum (the UDP checksum is 0). The relay's worker relays. testpmd
    counts the cycles of polls that returned packets. The worker's figure is the median lap, polls
    included, without the header write-back that turns each relayed packet into a party's packet
    again. io, csum and relay run in turn; medians of the runs."""
BARS = ("2",)
SECONDS = 45
PAGES = 256
RUNS = stats.PAIRS
MANY, FEW = 29, 1  # bursts of 32 per queue: 8,352 and 288 packets
EAL = ["--lcores", "0@0,1@1", "-n", "1", "--in-memory", "--no-pci", "-m", "256",
       "--vdev", "net_ring0"]
OPTIONS = ["--rxq=9", "--txq=9", "--nb-cores=1", "--total-num-mbufs=20000", "--port-topology=loop",
           "--txpkts=214"]


def forward(testpmd, mode, bursts):
    """Cycles per packet over 0.4 s, with `bursts` bursts of 32 on each queue."""
    testpmd.command(f"set fwd {mode}")
    testpmd.command(f"start tx_first {bursts}")
    time.sleep(0.4)
    return processes.cycles_per_packet(testpmd.command("stop"))


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
        "the same with testpmd's packets in the L1 and L2 caches (288 packets; relay 8,192)",
        (relayed - io) / (csum_few - io_few), "", "", f"{RUNS} runs of each",
        "the harder comparison: csum without waiting for memory"))
    rows = [[side, round(each.median, 1), f"{each.low:.1f} to {each.high:.1f}"]
            for side, each in spread.items()]
    section.tables.append(results.Table("Cycles per packet on net_ring", ["side", "median",
                                                                          "middle half"], rows))
    section.plots.append(results.Plot("bars", "Cycles per packet on net_ring", "", "cycles",
                                      {"median": [(row[0], row[1]) for row in rows]}))

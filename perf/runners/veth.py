# SPDX-License-Identifier: BSD-3-Clause
"""Bars 8 to 10: media on veth, beside rtpengine."""

import processes
import relays
import results
import stats

TITLE = "Media beside rtpengine, on the same veth"
METHOD = """millrace-load on core 0 plays both phones of G.711 calls on kernel sockets; the relay has
    core 1: Millrace with one polling worker on net_af_xdp (copy mode), rtpengine without its kernel
    module, one thread. CPU is the relay's own by the kernel's count, for Millrace the worker's busy
    cycles: a polling worker takes its whole core whatever it does. Delay is one direction through
    the relay, from before the send call to the kernel's receive stamp. The two take turns."""
BARS = ("8a", "8b", "8c", "9", "10a", "10b")
SECONDS = 200
PAIRS = 3
CALLS = 1000  # 100,000 packets a second
MOST = 6000  # the generator ends at about as many


def cpu_us(result):
    """Of the relay, for each packet."""
    if "relay_workers" in result:
        told = result["relay_workers"]
        return told["busy_cycles_per_packet"] / told["cycles_per_second"] * 1e6
    return result["relay"]["cpu_s_per_million_packets"]


def fixed(bed, section, side, calls):
    with side(bed, section) as bench:
        return bench.load("run", "--calls", calls, "--duration", 4, "--rtcp-interval", 0)


def highest(bed, section, side, most):
    """The highest load without loss; a handful of packets is what the machine itself loses."""
    with side(bed, section) as bench:
        found = bench.load("search", "--calls", most, "--resolution", 250, "--duration", 1.5,
                           "--allow", 20, "--rtcp-interval", 0)["ndr"]
    if found["calls"] == 0:
        raise processes.Failure("no load went through without loss: are other programs running?")
    return found


def run(bed, section):
    relays.use(bed)
    pairs = stats.interleave(lambda: fixed(bed, section, relays.millrace, CALLS),
                             lambda: fixed(bed, section, relays.rtpengine, CALLS), PAIRS)
    cpu = stats.Comparison.of((cpu_us(b), cpu_us(a)) for a, b in pairs)
    section.compare("8a", cpu)
    delays = [[stats.Spread.of(each[i]["delay_us"][q] for each in pairs).median for i in (0, 1)]
              for q in ("p50", "p99")]
    section.figures.append(results.Figure(results.GOALS["8c"][0], delays[0][0], "us", "8c",
                                          f"{PAIRS} runs; rtpengine {delays[0][1]:.1f} us"))
    section.tables.append(results.Table(
        "1,000 calls, 100,000 packets a second", ["", "Millrace", "rtpengine"],
        [["CPU us a packet", round(cpu.b.median, 2), round(cpu.a.median, 2)],
         ["delay p50, us", *(round(each, 1) for each in delays[0])],
         ["delay p99, us", *(round(each, 1) for each in delays[1])]]))
    bed.step(0.35)
    found = [highest(bed, section, relays.millrace, MOST), highest(bed, section, relays.rtpengine, 4000)]
    bed.step(0.75)
    calls = [each["calls"] for each in found]
    section.figures.append(results.Figure(results.GOALS["9"][0], calls[0] / calls[1], "", "9",
                                          "one search each, to 250 calls",
                                          f"Millrace's end: {found[0]['limited_by']}"))
    at_end = [each["measured"] for each in found]
    section.figures.append(results.Figure(
        results.GOALS["8b"][0], cpu_us(at_end[1]) / cpu_us(at_end[0]), "", "8b",
        "at each one's highest load"))
    section.tables.append(results.Table(
        "The highest load without loss (20 packets allowed)", ["", "Millrace", "rtpengine"],
        [["calls", *calls], ["CPU us a packet", *(round(cpu_us(each), 2) for each in at_end)],
         ["delay p50, us", *(round(each["delay_us"]["p50"], 1) for each in at_end)],
         ["limited by", *(each["limited_by"] for each in found)]]))
    section.plots.append(results.Plot("bars", "Calls without loss on veth", "", "calls", {
        "calls": [("Millrace", calls[0]), ("rtpengine", calls[1])]}))
    overload(bed, section, calls[0] * 100)


def overload(bed, section, peak):
    rows = []
    for name, side in (("Millrace", relays.millrace), ("rtpengine", relays.rtpengine)):
        with side(bed, section) as bench:
            told = bench.load("overload", "--calls", CALLS, "--duration", 3, "--flood", 2, "--factor",
                              8, "--rtcp-interval", 0)["overload"]
        rows.append([name, *(round(told[phase][key]) for phase, key in (
            ("before", "goodput_pps"), ("flood", "sent_pps"), ("flood", "goodput_pps"),
            ("after", "goodput_pps"))), told["recovery_s"]])
        if name == "Millrace":
            flood = told["flood"]
            section.figures.append(results.Figure(
                results.GOALS["10a"][0], flood["goodput_pps"] / peak, "", "10a", "one run",
                f"the generator's own end: {flood['sent_pps'] / peak:.1f} x the peak was sent"))
            if told["recovery_s"] is not None:
                section.figures.append(results.Figure(results.GOALS["10b"][0], told["recovery_s"], "s",
                                                      "10b", "one run"))
    section.tables.append(results.Table(
        "A flood of 2 s at 8 times the pace", ["", "before, pps", "flood sent, pps",
                                               "flood relayed, pps", "after, pps", "recovery, s"], rows))

# SPDX-License-Identifier: BSD-3-Clause
"""Bars 11 to 13: signalling, compared with rtpengine."""

import contextlib
import subprocess

import relays
import results
import stats

TITLE = "Signalling beside rtpengine"
METHOD = """millrace-load sends ng requests from core 0 to the relay on core 1. A cycle is offer,
    answer, delete. Ratios compare both relays over UDP, rtpengine's only transport, on the relay's
    loopback. Further columns show Millrace over its UNIX socket, with a new connection per request,
    as the proxies' modules use it, and with kept connections. Millrace's CPU excludes its worker,
    which sleeps on core 0. Latency is measured with one request at a time on the UNIX socket, each
    followed by the same request to a plain echo server on the same cores. Calls that stay are set
    up over kept connections, because with UDP the replies stored for retransmissions would count as
    memory of calls. Sides are measured in turn."""
BARS = ("11a", "11b", "11c", "12a", "12b", "12c", "13a", "13b")
SECONDS = 190
PAIRS = 3
# Slots, records, IPv4 addresses and RTCP quality of a call's four ports.
SLOTS_KB = 4 * (328 + 104 / 2) / 1024


def cycles(bed, section, side, outstanding, over="udp"):
    with side(bed, section) as bench:
        return bench.load("control", "--outstanding", outstanding, "--duration", 2, "--warm-up", 0.5,
                          over=over)


def cpu_us(result):
    return result["relay"]["cpu_us_per_cycle_without_workers"]


def signalling(bed, section):
    return relays.millrace(bed, section, media=False)


def run(bed, section):
    relays.use(bed)
    rows = []
    for number, (outstanding, bar) in enumerate(((8, "11b"), (64, "11c")), 1):
        pairs = stats.interleave(lambda n=outstanding: cycles(bed, section, signalling, n),
                                 lambda n=outstanding: cycles(bed, section, relays.rtpengine, n), PAIRS)
        rate = stats.Comparison.of((a["cycles_per_second"], b["cycles_per_second"]) for a, b in pairs)
        cpu = stats.Comparison.of((cpu_us(b), cpu_us(a)) for a, b in pairs)
        section.compare(bar, rate)
        if outstanding == 8:
            section.compare("11a", cpu)
        unix = [cycles(bed, section, signalling, outstanding, over) for over in ("unix", "kept")]
        rows += [[f"cycles/s, {outstanding} outstanding", round(rate.a.median), round(rate.b.median),
                  *(round(each["cycles_per_second"]) for each in unix)],
                 [f"CPU us per cycle, {outstanding} outstanding", round(cpu.b.median, 1),
                  round(cpu.a.median, 1), *(round(cpu_us(each), 1) for each in unix)]]
        bed.step(0.35 * number)
    section.tables.append(results.Table(
        "Offer, answer, delete", ["", "Millrace", "rtpengine", "Millrace, UNIX, new connections",
                                  "Millrace, UNIX, kept"], rows))
    latency(bed, section)
    bed.step(0.85)
    fill(bed, section)


def add_latency(section, bar, above, *words):
    """Adds the figure of a request's time above the echo server."""
    if above < 0:
        section.unmeasured[bar] = f"the echo server took {-above:.1f} us longer: busy machine"
    else:
        section.figures.append(results.Figure(results.GOALS[bar][0], above, "us", bar, *words))


def latency(bed, section):
    rows = []
    for connections in ("new", "kept"):
        with signalling(bed, section) as bench:
            offer = bench.load("latency", "--connections", connections, "--duration", 3)
        offer = offer["commands"]["offer"]
        above = offer["above_echo_us"]
        rows.append([connections, *(round(each, 1) for each in (
            offer["took_us"]["p50"], offer["echo_us"]["p50"], above["p50"], above["p99"]))])
        if connections == "new":
            add_latency(section, "12a", above["p50"], "new connections")
            add_latency(section, "12b", above["p99"], "new connections")
    with relays.millrace(bed, section) as bench, contextlib.ExitStack() as stack:
        with bench.phones:
            command = bench.command("run", "--calls", 1000, "--duration", 20, "--rtcp-interval", 0)
            command[command.index("--caller") + 1] += ":20000"
            command[command.index("--callee") + 1] += ":20000"
            flowing = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(flowing.wait)
        stack.callback(flowing.terminate)
        offer = bench.load("latency", "--duration", 4)["commands"]["offer"]
    above = offer["above_echo_us"]
    rows.append(["new, 100 kpps flow", *(round(each, 1) for each in (
        offer["took_us"]["p50"], offer["echo_us"]["p50"], above["p50"], above["p99"]))])
    add_latency(section, "12c", above["p50"], "new connections",
                "generator, client and control threads share core 0")
    section.tables.append(results.Table("A synchronous offer, us", [
        "connections", "p50", "echo p50", "above p50", "above p99"], rows))


def fill(bed, section):
    with signalling(bed, section) as bench:
        many = bench.load("fill", "--calls", 100_000, "--outstanding", 64, over="kept")
    with relays.rtpengine(bed, section) as bench:
        few = bench.load("fill", "--calls", 2_000, "--outstanding", 8)
    grown = many["relay"]["resident_kb_per_call"]
    section.figures += [
        results.Figure(results.GOALS["13a"][0], grown + SLOTS_KB, "kB", "13a",
                       f"{many['calls']:,} calls; control side {grown:.2f}, slots {SLOTS_KB:.2f}",
                       "slots are allocated at start, used or not"),
        results.Figure(results.GOALS["13b"][0], many["set_up_s"] * 100_000 / many["calls"], "s", "13b",
                       f"{many['calls']:,} calls, 64 outstanding")]
    section.tables.append(results.Table(
        "Calls that stay", ["", "Millrace", "rtpengine"],
        [["calls", many["calls"], few["calls"]],
         ["set-up, calls/s", round(many["set_up_calls_per_second"]), round(few["set_up_calls_per_second"])],
         ["resident kB per call", round(grown + SLOTS_KB, 2), round(few["relay"]["resident_kb_per_call"], 2)]]))

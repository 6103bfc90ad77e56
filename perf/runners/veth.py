# SPDX-License-Identifier: BSD-3-Clause
"""Bars 8 to 10: media on veth, compared with rtpengine."""

import relays
import results
import stats

TITLE = "Media beside rtpengine, on the same veth"
METHOD = """millrace-load on core 0 plays both phones of G.711 calls. The relay has core 1: Millrace
    with one polling worker on net_af_xdp (copy mode), rtpengine with one thread and without its
    kernel module. CPU is the relay's CPU time by the kernel's accounting; for Millrace it is the
    worker's busy cycles, because a polling worker always takes its whole core. Delay is one
    direction through the relay, at 1,000 calls from before the send call to the kernel's receive
    time stamp. For the highest load and the flood the phones are also on net_af_xdp, because kernel
    sockets saturate before the relay, and delay ends at their poll. The two relays run in turn."""
BARS = ("8a", "8b", "8c", "9", "10a", "10b")
SECONDS = 200
PAIRS = 3
CALLS = 1000  # 100,000 packets per second
MOST = 8000  # calls; about the limit of the device
STEP = 250
FACTOR, OVERLOAD = 16, 4  # pace of the flood; least multiple of the peak that counts as overload
ALLOWED = 20  # lost packets per trial
SENT = 0.99  # least share of the offered load for the generator to have kept up
NO_LIMIT, USABLE_US = float("inf"), 1000


def cpu_us(result):
    """CPU of the relay per packet."""
    if "relay_workers" in result:
        workers = result["relay_workers"]
        return workers["busy_cycles_per_packet"] / workers["cycles_per_second"] * 1e6
    return result["relay"]["cpu_s_per_million_packets"]


def carry(bed, section, side, calls, seconds, wire=relays.SOCKETS):
    """Measures a freshly started relay under this load."""
    with side(bed, section) as bench:
        return bench.load("run", "--calls", calls, "--duration", seconds, "--rtcp-interval", 0,
                          wire=wire)


def trouble(result):
    """The limiting side if the load was not carried, else "". Allows ALLOWED lost packets."""
    if not result["generator"]["kept_up"] or result["sent_pps"] < SENT * result["offered_pps"]:
        return "generator"
    lost = sum(result[way]["lost"] for way in ("caller_to_callee", "callee_to_caller"))
    return "relay" if lost > ALLOWED else ""


def highest(trial):
    """The most calls, in steps of STEP, that trial(calls) carries; and the limit above."""
    good, bad, end = 0, MOST + STEP, "the search"
    while bad - good > STEP:
        calls = (good + bad) // 2 // STEP * STEP
        ends = trial(calls)
        if ends:
            bad, end = calls, ends
        else:
            good = calls
    return good, end


def search(bed, section, side):
    """{limit of the median delay in us: (calls, measurement, limiting factor)}.

    Each load gets a fresh relay: one that stalled under a higher load would spoil a lower one.
    """
    known = {}

    def trial(calls, limit):
        if calls not in known:
            known[calls] = carry(bed, section, side, calls, 1.5, relays.DEVICE)
        late = known[calls]["delay_us"]["p50"] > limit
        return trouble(known[calls]) or ("delay" if late else "")

    found = {}
    for limit in (NO_LIMIT, USABLE_US):
        calls, end = highest(lambda calls, limit=limit: trial(calls, limit))
        found[limit] = calls, known.get(calls), end
    return found


def run(bed, section):
    relays.use(bed)
    pairs = stats.interleave(lambda: carry(bed, section, relays.millrace, CALLS, 4),
                             lambda: carry(bed, section, relays.rtpengine, CALLS, 4), PAIRS)
    cpu = stats.Comparison.of((cpu_us(b), cpu_us(a)) for a, b in pairs)
    section.compare("8a", cpu)
    delays = [[stats.Spread.of(each[i]["delay_us"][q] for each in pairs).median for i in (0, 1)]
              for q in ("p50", "p99")]
    section.figures.append(results.Figure(results.GOALS["8c"][0], delays[0][0], "us", "8c",
                                          f"{PAIRS} runs; rtpengine {delays[0][1]:.1f} us"))
    section.tables.append(results.Table(
        "1,000 calls, 100,000 packets per second", ["", "Millrace", "rtpengine"],
        [["CPU us per packet", round(cpu.b.median, 2), round(cpu.a.median, 2)],
         ["delay p50, us", *(round(each, 1) for each in delays[0])],
         ["delay p99, us", *(round(each, 1) for each in delays[1])]]))
    bed.step(0.2)
    found = [search(bed, section, relays.millrace)]
    bed.step(0.5)
    found.append(search(bed, section, relays.rtpengine))
    bed.step(0.8)
    ends(section, *found)
    overload(bed, section, found[0][NO_LIMIT][0] * 100)


def ends(section, ours, theirs):
    (calls, at_end, end), (their_calls, their_end, _) = ours[NO_LIMIT], theirs[NO_LIMIT]
    if calls and their_calls:
        section.figures += [
            results.Figure(results.GOALS["9"][0], calls / their_calls, "", "9",
                           f"one search each, to {STEP} calls", f"Millrace is limited by: {end}"),
            results.Figure(results.GOALS["8b"][0], cpu_us(their_end) / cpu_us(at_end), "", "8b",
                           "at the highest load of each")]
    else:
        side = "Millrace" if not calls else "rtpengine"
        reason = f"{side} carried no load without loss: are other programs running?"
        section.unmeasured |= {"9": reason, "8b": reason}
    rows = []
    for limit, words in ((NO_LIMIT, "without loss"),
                         (USABLE_US, f"the same, median delay below {USABLE_US} us")):
        for name, found in (("Millrace", ours), ("rtpengine", theirs)):
            calls, measured, end = found[limit]
            rows.append([words, name, calls, end, *(
                (round(cpu_us(measured), 2), round(measured["delay_us"]["p50"], 1)) if calls else ("-", "-"))])
    section.tables.append(results.Table(
        f"The highest load ({ALLOWED} packets may be lost)",
        ["", "", "calls", "limited by", "CPU us per packet", "delay p50, us"], rows))
    section.plots.append(results.Plot("bars", "Calls without loss on veth", "", "calls", {
        "calls": [("Millrace", ours[NO_LIMIT][0]), ("rtpengine", their_calls)]}))


def overload(bed, section, peak):
    """`peak`: packets per second that Millrace carries without loss; 0: none found."""
    rows = []
    for name, side in (("Millrace", relays.millrace), ("rtpengine", relays.rtpengine)):
        with side(bed, section) as bench:
            result = bench.load("overload", "--calls", CALLS, "--duration", 3, "--flood", 2,
                                "--factor", FACTOR, "--rtcp-interval", 0,
                                wire=relays.DEVICE)["overload"]
        rows.append([name, *(round(result[phase][key]) for phase, key in (
            ("before", "goodput_pps"), ("flood", "sent_pps"), ("flood", "goodput_pps"),
            ("after", "goodput_pps"))), result["recovery_s"]])
        if name == "Millrace":
            flood = result["flood"]
            if not peak:
                section.unmeasured["10a"] = "Millrace carried no load without loss: no peak"
            elif flood["sent_pps"] < OVERLOAD * peak:
                section.unmeasured["10a"] = (
                    f"the generator reaches only {flood['sent_pps'] / peak:.1f} x the peak; "
                    f"{flood['goodput_pps'] / flood['sent_pps']:.1%} of that was relayed")
            else:
                section.figures.append(results.Figure(
                    results.GOALS["10a"][0], flood["goodput_pps"] / peak, "", "10a", "one run"))
            if result["recovery_s"] is not None:
                section.figures.append(results.Figure(
                    results.GOALS["10b"][0], result["recovery_s"], "s", "10b", "one run",
                    f"the flood was {flood['sent_pps'] / CALLS / 100:.1f} times the pace"))
            else:
                section.unmeasured["10b"] = "no recovery within the run"
    section.tables.append(results.Table(
        f"A flood of 2 s at {FACTOR} times the pace, or at the generator's limit",
        ["", "before, pps", "flood sent, pps", "flood relayed, pps", "after, pps", "recovery, s"],
        rows))

# SPDX-License-Identifier: BSD-3-Clause
"""Unit tests of the benchmarks' arithmetic and report."""

import importlib.machinery
import importlib.util
import io
import json
import pathlib
import re
import sys
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "perf" / "runners"))

import control
import instructions
import page
import plots
import processes
import programs
import results
import screen
import stats
import veth
import virtio


def script(name):
    """A program of perf/ as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(TOP / "perf" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class Stats(unittest.TestCase):
    def test_median_and_middle_half(self):
        spread = stats.Spread.of([5, 1, 3, 2, 4])
        self.assertEqual((spread.low, spread.median, spread.high, spread.count), (2, 3, 4, 5))
        self.assertEqual(stats.Spread.of([7]), stats.Spread(7, 7, 7, 1))
        with self.assertRaises(ValueError):
            stats.Spread.of([])

    def test_ratio_is_the_median_of_pair_ratios(self):
        both = stats.Comparison.of([(2, 1), (20, 10), (9, 3)])
        self.assertEqual(both.ratio.median, 2)
        self.assertEqual((both.a.median, both.b.median), (9, 3))

    def test_interleave_alternates_the_first_side(self):
        order, steps = [], []
        pairs = stats.interleave(lambda: order.append("a") or 1, lambda: order.append("b") or 2, 3,
                                 lambda: steps.append(1))
        self.assertEqual("".join(order), "abbaab")
        self.assertEqual((pairs, len(steps)), ([(1, 2)] * 3, 3))


class Budget(unittest.TestCase):
    text = "# comment\nipv4/flows:1/burst:32   100.0  # why\n\nmiss   20\n"

    def test_reads_and_lowers(self):
        self.assertEqual(instructions.read_budget(self.text),
                         {"ipv4/flows:1/burst:32": 100.0, "miss": 20.0})
        lowered = instructions.write_budget(self.text, {"miss": 15.04})
        self.assertEqual(instructions.read_budget(lowered)["miss"], 15.0)
        self.assertIn("100.0  # why", lowered)

    def test_refuses_malformed_lines(self):
        for line in ("ipv4", "ipv4 many", "ipv4 1 2"):
            with self.assertRaises(instructions.Failure, msg=line):
                instructions.read_budget(line)

    def test_tolerance_is_one_per_cent_both_ways(self):
        self.assertEqual([instructions.judge(count, 100) for count in (98.9, 99.1, 100.9, 101.1)],
                         ["under", "kept", "kept", "over"])

    def test_reads_the_budget_of_the_tree(self):
        budget = instructions.read_budget((TOP / "perf" / "budget").read_text())
        self.assertIn("ipv4/flows:1000/burst:32", budget)

    def test_reads_callgrind_output(self):
        self.assertEqual(instructions.total("events: Ir\nsummary: 1234\ntotals: 1300\n"), 1234)
        with self.assertRaises(instructions.Failure):
            instructions.total("events: Ir\n")


class Programs(unittest.TestCase):
    def test_repetitions_are_grouped_and_aggregates_left_out(self):
        cases = [{"name": "relay/ipv4/flows:1/burst:4/manual_time", "c": 1.0},
                 {"name": "worker/one/iterations:1/repeats:2/manual_time", "c": 5.0},
                 {"name": "relay/ipv4/flows:1/burst:4/manual_time", "c": 2.0},
                 {"name": "relay/ipv4_mean", "run_type": "aggregate", "c": 9.0}]
        found = programs.read(json.dumps({"benchmarks": cases}))
        self.assertEqual(programs.values(found, "relay/ipv4/flows:1/burst:4", "c"), [1.0, 2.0])
        self.assertEqual(programs.values(found, "worker/one", "c"), [5.0])

    def test_failed_case_raises_failure(self):
        case = {"name": "x", "error_occurred": True, "error_message": "packets were dropped"}
        with self.assertRaisesRegex(processes.Failure, "packets were dropped"):
            programs.read(json.dumps({"benchmarks": [case]}))

    def test_testpmd_and_peer(self):
        self.assertEqual(processes.cycles_per_packet("x\n  CPU cycles/packet=12.50 (total"), 12.5)
        with self.assertRaises(processes.Failure):
            processes.cycles_per_packet("stopped")
        output = "100000 5 7\n" + "100000 10 10\n" * 8
        self.assertEqual(virtio.rate(output), 100)
        with self.assertRaises(processes.Failure):
            virtio.rate("100000 1 1\n")

    def test_synthetic_flows_are_two_per_call_and_distinct(self):
        lines = virtio.synthetic_flows().splitlines()
        self.assertEqual((len(lines), len(set(lines))), (2 * virtio.CALLS,) * 2)


def sample():
    section = results.Section("ring", "Beside testpmd", "How <it> is done.", ("2", "3"), "measured")
    section.ran("dpdk-testpmd", "--", "-i")
    section.ran("dpdk-testpmd", "--", "-i")
    section.figures.append(results.Figure("ratio", 1.3, "", "2", "1.2 to 1.4", "memory"))
    section.tables.append(results.Table("t", ["a", "b"], [["x", 1]]))
    section.plots += [
        results.Plot("bars", "b", "", "cycles", {"s": [("io & co", 6.4), ("csum", 30)],
                                                 "t": [("csum", 20)]}),
        results.Plot("lines", "l", "flows", "cycles", {"s": [(1000, 39), (10**6, 110)]}, log_x=True)]
    return section


class Report(unittest.TestCase):
    def test_verdicts_name_every_bar_once(self):
        skipped = results.Section("veth", "", "", ("8a",), "skipped: no rtpengine")
        rows = {row[0]: row[1:] for row in results.verdicts([sample(), skipped])}
        self.assertEqual(list(rows), list(results.GOALS))
        self.assertEqual(rows["2"][1:], ["<= 1.2", "1.30", "missed"])
        self.assertEqual(rows["3"][2:], ["", "measured"])
        self.assertEqual(rows["8a"][3], "skipped: no rtpengine")
        self.assertEqual(rows["13b"][3], "not run")

    def test_bar_without_a_figure_has_a_reason(self):
        section = results.Section("veth", "", "", ("9", "10a"), status="measured")
        section.unmeasured["9"] = "nothing was relayed"
        rows = {row[0]: row[3:] for row in results.verdicts([section])}
        self.assertEqual(rows["9"], ["", "nothing was relayed"])
        self.assertEqual(rows["10a"], ["", "measured"])
        self.assertIn("nothing was relayed", page.render(results.as_json([section], {})))

    def test_latency_below_the_echo_server_is_not_measured(self):
        section = results.Section("control", "", "", ("12a", "12b"))
        control.add_latency(section, "12a", 9.5, "new connections")
        control.add_latency(section, "12b", -3.0, "new connections")
        self.assertEqual([figure.bar for figure in section.figures], ["12a"])
        self.assertIn("3.0 us", section.unmeasured["12b"])

    def test_goal_is_met_at_its_limit(self):
        def verdict(bar, value):
            return results.Figure("", value, bar=bar).verdict()
        self.assertEqual([verdict("1", 180), verdict("1", 180.1)], ["met", "missed"])
        self.assertEqual([verdict("3", 0.85), verdict("3", 0.849)], ["met", "missed"])
        self.assertEqual(results.Figure("", 5).verdict(), "")

    def test_page_is_self_contained_and_escaped(self):
        report = results.as_json([sample()], {"CPU": "<x>"})
        text = page.render(json.loads(json.dumps(report)))
        self.assertNotRegex(text, r"(?i)<script|<link|@import|url\(|src=|href=")
        self.assertIn("How &lt;it&gt; is done.", text)
        self.assertIn("prefers-color-scheme:dark", text)
        self.assertEqual(text.count("<svg"), 2)
        self.assertEqual(report["sections"][0]["commands"], ["dpdk-testpmd -- -i"])

    def test_plots_are_xml_with_proportional_bars(self):
        for plot in results.as_json([sample()], {})["sections"][0]["plots"]:
            root = xml.etree.ElementTree.fromstring(plots.draw(plot))
            if plot["kind"] == "bars":
                widths = [float(e.get("width")) for e in root.iter("{http://www.w3.org/2000/svg}rect")
                          if e.get("height") == "10" and e.get("width") != "10"]
                self.assertEqual(len(widths), 3)
                self.assertAlmostEqual(widths[1] / widths[2], 30 / 20, 2)

    def test_ticks_are_round_and_cover_the_maximum(self):
        self.assertEqual(plots.ticks(110), [0, 25, 50, 75, 100, 125])
        for high in (0.003, 1, 7, 99, 12345):
            self.assertGreaterEqual(plots.ticks(high)[-1], high)

    def test_numbers_are_short(self):
        self.assertEqual([plots.number(value) for value in (0.1234, 12.34, 1234, 12345, 1e6, 2.5e9)],
                         ["0.123", "12.3", "1,234", "12.3k", "1M", "2.5G"])


class Veth(unittest.TestCase):
    def test_search_finds_the_highest_load_and_its_limit(self):
        for end in (0, veth.STEP, 2000, 2249, veth.MOST):
            tried = []

            def trial(calls, end=end, tried=tried):
                tried.append(calls)
                return "relay" if calls > end else ""

            self.assertEqual(veth.highest(trial), (end // veth.STEP * veth.STEP,
                                                   "the search" if end == veth.MOST else "relay"))
            self.assertEqual(len(tried), len(set(tried)))

    def test_carried_load_was_sent_and_received(self):
        result = {"generator": {"kept_up": True}, "sent_pps": 995, "offered_pps": 1000,
                  "caller_to_callee": {"lost": 0}, "callee_to_caller": {"lost": veth.ALLOWED}}
        self.assertEqual(veth.trouble(result), "")
        self.assertEqual(veth.trouble(result | {"caller_to_callee": {"lost": 1}}), "relay")
        self.assertEqual(veth.trouble(result | {"sent_pps": 989}), "generator")
        self.assertEqual(veth.trouble(result | {"generator": {"kept_up": False}}), "generator")


class Screen(unittest.TestCase):
    def test_remaining_time_follows_the_pace(self):
        now = [0.0]
        progress = screen.Progress({"a": 10, "b": 30}, out=io.StringIO(), now=lambda: now[0])
        self.assertEqual(progress.left(), 40)
        progress.begin("a")
        progress.end()
        now[0] = 10
        self.assertAlmostEqual(progress.left(), 30)
        now[0] = 24  # half the planned pace, with the plan's tenth
        self.assertAlmostEqual(progress.left(), 60)
        progress.begin("b")
        progress.step(0.5)
        self.assertAlmostEqual(progress.fraction(), 0.625)

    def test_prints_only_part_names_without_a_terminal(self):
        out = io.StringIO()
        progress = screen.Progress({"a": 1}, out=out)
        progress.begin("a")
        progress.step(1)
        progress.end()
        self.assertEqual(out.getvalue(), "bench: a ...\n")

    def test_columns_line_up(self):
        self.assertEqual(screen.table(["a", "bb"], [["xxx", 1]]), "a    bb\nxxx  1")


class Bench(unittest.TestCase):
    def test_parts_are_described_and_bars_unique(self):
        parts = [importlib.import_module(part) for part in script("bench").PARTS]
        bars = [bar for part in parts for bar in part.BARS]
        self.assertEqual(len(bars), len(set(bars)))
        for part in parts:
            self.assertTrue(part.TITLE and part.METHOD and part.SECONDS > 0, part.__name__)
            self.assertLessEqual(set(part.BARS), set(results.GOALS), part.__name__)

    def test_interrupted_part_keeps_its_figures(self):
        class Part:
            TITLE, METHOD, BARS, SECONDS = "t", "m", ("2",), 1

            @staticmethod
            def run(bed, section):
                section.figures.append(results.Figure("x", 1, "", "2"))
                raise KeyboardInterrupt

        progress = screen.Progress({"p": 1}, out=io.StringIO())
        progress.begin("p")
        section = script("bench").measure("p", Part, pathlib.Path("build"), progress)
        self.assertEqual((section.status, len(section.figures)), ("interrupted", 1))
        self.assertEqual(re.sub(r"\s+", " ", results.verdicts([section])[1][4]), "met")


if __name__ == "__main__":
    unittest.main()

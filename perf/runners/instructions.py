# SPDX-License-Identifier: BSD-3-Clause
"""Instructions per packet in Relay::burst(), and per request, counted by callgrind.

Counts repeat to 0.1 % under any load of the machine, unlike times.
"""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile

TOLERANCE = 0.01
# Program, counted function and divisor of cases `PREFIX/...`. All other cases belong to relay_bench.
PROGRAMS = {"calls": ("calls_bench", "millrace::Calls::handle*", "dialogs"),
            "ng": ("calls_bench", "millrace::ng::serve*", "cycles")}
RELAY = ("relay_bench", "millrace::Relay::burst*", "packets")


class Failure(Exception):
    pass


def read_budget(text):
    """{case: instructions} of lines `CASE FIGURE`; `#` begins a comment."""
    budget = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            case, figure = words
            budget[case] = float(figure)
        except ValueError:
            raise Failure(f"budget, line {number}: '{line}' is not a case and a figure") from None
    return budget


def write_budget(text, counts):
    """The text of the budget with the figures of `counts`."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        words = line.split("#")[0].split()
        if words and words[0] in counts:
            lines[i] = line.replace(words[1], f"{counts[words[0]]:.1f}")
    return "\n".join(lines)


def judge(count, budget):
    """Compares a count with its budget, with a tolerance of 1 %: 'over', 'under' or 'kept'."""
    if count > budget * (1 + TOLERANCE):
        return "over"
    return "under" if count < budget * (1 - TOLERANCE) else "kept"


def total(callgrind_file):
    """The total instructions in a callgrind output file."""
    match = re.search(r"^summary: (\d+)", callgrind_file, re.MULTILINE)
    if not match:
        raise Failure("callgrind wrote no summary")
    return int(match[1])


def count(folder, case):
    """Instructions per packet, or per the unit of the case, of a program in build/perf."""
    program, function, unit = PROGRAMS.get(case.split("/")[0], RELAY)
    bench = pathlib.Path(folder) / program
    if not shutil.which("valgrind"):
        raise Failure("valgrind is not installed")
    if not bench.exists():
        raise Failure(f"no {bench}: run ninja first")
    with tempfile.TemporaryDirectory() as directory:
        counts, report = pathlib.Path(directory, "counts"), pathlib.Path(directory, "report.json")
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}",
             "--zero-before=millrace_begin_counting",
             f"--toggle-collect={function}", bench, f"--benchmark_filter=^counted/{case}/",
             f"--benchmark_out={report}", "--benchmark_out_format=json"],
            text=True, capture_output=True, check=False)
        cases = json.loads(report.read_text())["benchmarks"] if run.returncode == 0 else []
        if len(cases) != 1 or "error_message" in cases[0]:
            raise Failure(f"{case}: the benchmark failed:\n{run.stdout}{run.stderr}")
        return total(counts.read_text()) / cases[0][unit]

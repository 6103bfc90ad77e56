# SPDX-License-Identifier: BSD-3-Clause
"""Runs Google Benchmark programs and parses their JSON."""

import json
import subprocess

import processes


def repetitions(program, pattern=".", count=1, seconds=0.05, record=lambda *_: None, env=None):
    """Runs a program; {case: [a dictionary per repetition]}. Cases alternate at random."""
    if not program.exists():
        raise processes.Missing(f"no {program}: run 'ninja -C {program.parent.parent}' first")
    command = [program, f"--benchmark_filter={pattern}", f"--benchmark_min_time={seconds}",
               f"--benchmark_repetitions={count}", "--benchmark_format=json",
               "--benchmark_enable_random_interleaving=true"]
    record(*command)
    done = subprocess.run(command, text=True, capture_output=True, check=False, env=env)
    if done.returncode:
        raise processes.Failure(f"{program.name}: exit status {done.returncode}:\n{done.stderr[-2000:]}")
    return read(done.stdout)


def read(text):
    """Parses the JSON output to {case: [a dictionary per repetition]}."""
    found = {}
    for case in json.loads(text)["benchmarks"]:
        if case.get("run_type") == "aggregate":
            continue
        if case.get("error_occurred"):
            raise processes.Failure(f"{case['name']}: {case['error_message']}")
        name = case["name"].removesuffix("/manual_time").split("/repeats:")[0]
        found.setdefault(name.split("/iterations:")[0], []).append(case)
    return found


def values(found, case, counter):
    return [each[counter] for each in found[case]]

# SPDX-License-Identifier: BSD-3-Clause
"""Hardware and software versions on which the figures depend."""

import datetime
import os
import pathlib
import platform
import re
import subprocess


def output_of(*command, folder=None):
    try:
        done = subprocess.run(command, text=True, capture_output=True, check=False, cwd=folder)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def field(path, key):
    """The first value of `key` in a file of `key : value` lines."""
    try:
        match = re.search(rf"^{key}\s*:\s*(.*)$", pathlib.Path(path).read_text(), re.MULTILINE)
    except OSError:
        return ""
    return match[1] if match else ""


def caches():
    sizes = []
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        if kind != "Instruction":
            sizes.append(f"L{level} {size}")
    return ", ".join(sizes)


def describe(top):
    package = ["dpkg-query", "-W", "-f", "${Version}"]
    revision = output_of("git", "describe", "--always", "--dirty", "--abbrev=12", folder=top)
    huge = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": revision or "unknown (no git)",
        "CPU": f"{field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, "
               f"{field('/proc/cpuinfo', 'cpu MHz')} MHz",
        "caches": caches(),
        "virtual": output_of("systemd-detect-virt") or "unknown",
        "memory": field("/proc/meminfo", "MemTotal"),
        "transparent huge pages": huge.read_text().strip() if huge.exists() else "none",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "compiler": output_of("g++", "-dumpfullversion"),
        "DPDK": output_of(*package, "libdpdk-dev"),
        "rtpengine": output_of(*package, "rtpengine-daemon") or "not installed",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }

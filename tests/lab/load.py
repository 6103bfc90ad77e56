# SPDX-License-Identifier: BSD-3-Clause
"""Many calls: SIPp behind NAT A calls SIPp behind NAT B; both send RTP during each call."""

import csv
import pathlib

import topology

SCENARIOS = pathlib.Path(__file__).resolve().parent / "sipp"
CALLS = 50
PER_SECOND = 10
TALK_SECONDS = 8
PORT = 5080


def sipp(programs, topo, name, role, address, *options):
    return programs.start(
        f"sipp-{name}",
        ["sipp", f"{topology.PROXY}:5060", "-sf", SCENARIOS / f"{name}.xml", "-s", "sipp",
         "-i", address, "-mi", address, "-p", PORT, "-mp", 40000, "-nostdin", "-trace_err",
         "-trace_stat", "-fd", 1, "-stf", programs.directory / f"sipp-{name}.csv", *options],
        topo[role])


class Load:
    """Both SIPp processes. The callee's registration opens its NAT mapping."""

    def __init__(self, programs, topo):
        # Arbitrary G.711 payload, 8000 bytes per second.
        (programs.directory / "speech.pcmu").write_bytes(bytes(range(256)) * 125)
        self.directory = programs.directory
        callee = topo, "callee", "phone-b", topology.PHONE_B
        registration = sipp(programs, topo, "register", *callee[2:], "-m", 1)
        if registration.wait(10) != 0:
            raise registration.failure("could not register")
        # -aa: answers the proxy's OPTIONS. SIPp counts these as calls, hence no -m.
        self.callee = sipp(programs, *callee, "-aa")
        self.caller = sipp(programs, topo, "caller", "phone-a", topology.PHONE_A,
                           "-m", CALLS, "-r", PER_SECOND, "-d", TALK_SECONDS * 1000)

    def seconds(self):
        return CALLS / PER_SECOND + TALK_SECONDS

    def finish(self):
        """Waits for the last call; returns SIPp's counters."""
        self.caller.wait(self.seconds() + 25)
        self.callee.stop()
        with open(self.directory / "sipp-caller.csv", newline="") as file:
            last = list(csv.DictReader(file, delimiter=";"))[-1]
        return {"placed": int(last["TotalCallCreated"]),
                "established": int(last["SuccessfulCall(C)"]),
                "failed": int(last["FailedCall(C)"])}

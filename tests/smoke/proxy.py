# SPDX-License-Identifier: BSD-3-Clause
"""A real SIP proxy in front of the relay: Kamailio with the shipped example, SIPp as phones."""

import pathlib
import shutil
import socket
import subprocess
import time

from smoke.relay import SLOWNESS

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "kamailio-rtpengine.cfg"
SCENARIOS = ROOT / "tests" / "lab" / "sipp"
PORT = 5080
MISSING = [program for program in ("kamailio", "sipp") if not shutil.which(program)]


class Children:
    """Child processes of one test, each with a log in the test's folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.running = []

    def start(self, space, name, *argv):
        with space, open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, cwd=self.folder)
        self.running.append(process)
        return process

    def close(self):
        for process in self.running:
            if process.poll() is None:
                process.terminate()
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start_kamailio(children, space, config, *defines):
    """Starts Kamailio in the foreground with this configuration and these `-A` defines."""
    runtime = children.folder / "kamailio"
    runtime.mkdir()
    return children.start(space, "kamailio", "kamailio", "-DD", "-E", "-f", config, "-Y", runtime,
                          "-P", runtime / "pid", "-m", 64, "-M", 8,
                          *(word for define in defines for word in ("-A", define)))


class Kamailio:
    """The proxy at `address`, with `workers` SIP workers."""

    def __init__(self, children, space, address, relay_socket, workers=2):
        self.children, self.space, self.address = children, space, address
        self.rpc = children.folder / "rpc.sock"
        self.process = start_kamailio(
            children, space, CONFIG, f"MR_ADDRESS={address}", f"MR_WORKERS={workers}",
            "MR_PING_SECONDS=20", f'MR_RPC="{self.rpc}"', f'MR_RTPENGINE="unix:{relay_socket}"')
        self.probe = Probe(space, address)
        deadline = time.monotonic() + 15 * SLOWNESS
        while self.probe.ask() is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((children.folder / "kamailio.log").read_text()[-4000:])

    def log(self):
        return (self.children.folder / "kamailio.log").read_text(errors="replace")


class Probe:
    """Sends OPTIONS, which the proxy answers itself, and measures the response time."""

    def __init__(self, space, address):
        with space:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.address, self.number = address, 0

    def ask(self, patience=0.5):
        """Seconds until the answer arrived, or None."""
        self.number += 1
        host, port = self.socket.getsockname()
        self.socket.sendto(
            (f"OPTIONS sip:{self.address} SIP/2.0\r\n"
             f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{port}-{self.number}\r\n"
             f"Max-Forwards: 70\r\nFrom: <sip:probe@{host}>;tag=1\r\n"
             f"To: <sip:{self.address}>\r\nCall-ID: {port}-{self.number}\r\n"
             "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n").encode(), (self.address, 5060))
        start = time.monotonic()
        self.socket.settimeout(patience)
        try:
            while f"branch=z9hG4bK{port}-{self.number}".encode() not in self.socket.recv(4096):
                pass
        except TimeoutError:
            return None
        return time.monotonic() - start


class Sipp:
    """SIPp in a phone's namespace; its scenario sends and receives RTP."""

    def __init__(self, children, space, address, proxy):
        self.children, self.space, self.address, self.proxy = children, space, address, proxy
        # Arbitrary G.711 payload, 8000 bytes per second.
        (children.folder / "speech.pcmu").write_bytes(bytes(range(256)) * 125)

    def run(self, scenario, *options):
        return self.children.start(
            self.space, f"sipp-{scenario}", "sipp", f"{self.proxy}:5060", "-sf",
            SCENARIOS / f"{scenario}.xml", "-s", "sipp", "-i", self.address, "-mi", self.address,
            "-p", PORT, "-mp", 40000, "-nostdin", "-trace_err", *options)

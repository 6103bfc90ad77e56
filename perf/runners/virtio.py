# SPDX-License-Identifier: BSD-3-Clause
"""Bar 3: the daemon on virtio-user compared with testpmd's 5tswap, with the same peer."""

import contextlib
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import processes
import results
import stats

TITLE = "Beside testpmd on virtio-user and vhost"
METHOD = """Two processes, one core each. On core 0 vhost_peer plays the parties of 500 calls: 214-byte
    RTP packets of 1,000 flows in random order, as many as the wire takes. On core 1 runs the daemon,
    with all calls signalled over ng, or testpmd in 5tswap (swaps MACs, addresses and ports, counts
    packets only), each on virtio-user with huge pages. The figure counts packets returned in the
    last 0.8 s of each turn; the two run in turn."""
BARS = ("3",)
SECONDS = 75
CALLS = 500
SECONDS_EACH = 2
PAGES = 512
RELAY, GATEWAY = "10.255.255.1", "10.255.255.254"
CONFIG = """
[dataplane]
worker_cores = [1]
main_core = 0
hugepages = true
memory_mb = 256
mbufs = 16384
[[interface]]
name = "public"
device = "net_virtio_user0,path={wire},queue_size=1024"
addresses = ["{relay}/24"]
gateway = "{gateway}"
[[control]]
path = "{ng}"
[log]
level = "warning"
"""
SDP = """v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r
a=rtpmap:0 PCMU/8000\r\n"""


def port_of(sdp):
    return int(re.search(r"m=audio (\d+)", sdp)[1])


def set_up(client, calls=CALLS):
    """Signals calls; returns the input lines of vhost_peer, one per flow."""
    flows = []
    for i in range(calls):
        caller, callee = f"100.64.{i >> 8}.{i & 255}", f"100.65.{i >> 8}.{i & 255}"
        keys = {"call_id": f"call-{i}", "from_tag": "a"}
        to_callee = client.command("offer", sdp=SDP.format(ip=caller, port=5000), **keys)["sdp"]
        to_caller = client.command("answer", sdp=SDP.format(ip=callee, port=6000), to_tag="b",
                                   **keys)["sdp"]
        flows += [f"{caller}:5000 {RELAY}:{port_of(to_caller)}",
                  f"{callee}:6000 {RELAY}:{port_of(to_callee)}"]
    return "\n".join(flows) + "\n"


@contextlib.contextmanager
def relay(bed, folder, section):
    """Starts the daemon; yields a function that signals the calls and returns the flows."""
    from smoke.ng import UnixClient
    config, ng = folder / "millrace.toml", folder / "ng.sock"
    config.write_text(CONFIG.format(wire=folder / "wire", relay=RELAY, gateway=GATEWAY, ng=ng))
    command = [bed.build / "control" / "millrace", "--config", config]
    section.ran(*command)
    with open(folder / "log", "ab") as log, \
            processes.running(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL) as process:
        client, end = UnixClient(ng), time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError):
                client.command("ping")
                break
            if process.poll() is not None or time.monotonic() > end:
                raise processes.Failure(f"the relay does not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.02)
        yield lambda: set_up(client)


def peer(bed, folder, section):
    (folder / "wire").unlink(missing_ok=True)
    command = ["taskset", "-c", "0", bed.build / "perf" / "vhost_peer", folder / "wire", SECONDS_EACH]
    section.ran(*command, "<", "flows")
    return processes.running(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)


def wait_for(path, process):
    end = time.monotonic() + 10
    while not path.is_socket():
        if process.poll() is not None or time.monotonic() > end:
            raise processes.Failure(f"vhost_peer does not start:\n{process.stderr.read()}")
        time.sleep(0.01)


def rate(output, periods=8):
    """Returned packets per second, from the last lines of vhost_peer's output."""
    lines = [list(map(int, line.split())) for line in output.strip().split("\n")][-periods:]
    if len(lines) < periods:
        raise processes.Failure(f"vhost_peer printed fewer than {periods} lines:\n{output}")
    return sum(back for _, _, back in lines) / sum(taken for taken, _, _ in lines) * 1e6


def turn(bed, section, forwarder):
    """Packets per second of a forwarder: a context manager that yields a function for the flows."""
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        folder = pathlib.Path(name)
        with peer(bed, folder, section) as process:
            wait_for(folder / "wire", process)
            with forwarder(folder) as flows:
                output, errors = process.communicate(flows(), timeout=60)
                if process.returncode:
                    raise processes.Failure(f"vhost_peer failed:\n{errors}")
                return rate(output)


def run(bed, section):
    tests = str(bed.top / "tests")
    if tests not in sys.path:
        sys.path.insert(0, tests)

    @contextlib.contextmanager
    def testpmd(folder):
        eal = ["--lcores", "0@0,1@1", "-n", "1", "--in-memory", "--single-file-segments", "--no-pci",
               "-m", "256", "--vdev", f"net_virtio_user0,path={folder / 'wire'},queue_size=1024"]
        options = ["--total-num-mbufs=16384", "--rxd=1024", "--txd=1024", "--port-topology=loop"]
        with processes.Testpmd.start(eal, options, section.ran) as process:
            process.command("set fwd 5tswap")
            process.command("start")
            yield synthetic_flows

    done = iter(range(1, stats.PAIRS + 1))
    with processes.hugepages(PAGES):
        pairs = stats.interleave(
            lambda: turn(bed, section, lambda folder: relay(bed, folder, section)),
            lambda: turn(bed, section, testpmd), stats.PAIRS,
            lambda: bed.step(next(done) / stats.PAIRS))
    both = stats.Comparison.of(pairs)
    section.compare("3", both)
    rows = [["Millrace", round(both.a.median / 1e6, 2)], ["testpmd 5tswap", round(both.b.median / 1e6, 2)]]
    section.tables.append(results.Table("Packets relayed, Mpps", ["side", "median"], rows))
    section.plots.append(results.Plot("bars", "Packets per second, virtio-user to vhost", "", "Mpps",
                                      {"median": rows}))


def synthetic_flows():
    """Flows like the relay's, for a forwarder that needs no calls."""
    return "".join(f"100.6{4 + i % 2}.{i >> 9}.{i // 2 & 255}:{5000 + i % 2 * 1000} "
                   f"{RELAY}:{20000 + i}\n" for i in range(2 * CALLS))

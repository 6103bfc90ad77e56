# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces without names: held by a file descriptor, removed when this process ends.

A killed test leaves nothing behind, and two runs at a time do not collide. A thread enters a
namespace for the length of a `with` block; sockets and processes made in the block stay in it.
"""

import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """IPv6 is off unless asked for, so that the kernel sends no solicitations or advertisements."""

    def __init__(self, ipv6=False):
        # unshare() moves its thread, so a helper thread makes the namespace.
        maker = threading.Thread(target=self._make)
        maker.start()
        maker.join()
        self._homes = threading.local()  # each thread enters and leaves on its own
        with self:
            for name in ("all", "default"):
                _write(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "0" if ipv6 else "1")
                _write(f"/proc/sys/net/ipv6/conf/{name}/accept_dad", "0")
                _write(f"/proc/sys/net/ipv6/conf/{name}/accept_ra", "0")
        self.ip("link set lo up")

    def _make(self):
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def __enter__(self):
        self._homes.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _setns(self.fd)
        return self

    def __exit__(self, *_):
        _setns(self._homes.fd)
        os.close(self._homes.fd)

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def ip(self, *commands):
        """Runs iproute2 commands, one per string, without the leading `ip`."""
        with self:
            subprocess.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n", text=True,
                           check=True)

    def forward(self):
        with self:
            _write("/proc/sys/net/ipv4/ip_forward", "1")
            _write("/proc/sys/net/ipv6/conf/all/forwarding", "1")

    def close(self):
        os.close(self.fd)


def cable(left, left_name, right, right_name):
    """Connects two namespaces by a veth pair, both ends up."""
    left.ip(f"link add {left_name} type veth peer name {right_name} netns {right.path}")
    for space, name in ((left, left_name), (right, right_name)):
        with space:
            # With TX offload, veth passes partial UDP checksums, which only a kernel completes.
            subprocess.run(["ethtool", "-K", name, "tx", "off"], check=True,
                           stdout=subprocess.DEVNULL)
        space.ip(f"link set {name} up")


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)

# SPDX-License-Identifier: BSD-3-Clause
"""The lab's network: six network namespaces around one bridge.

    phone A ---- NAT A ----+                     +---- NAT B ---- phone B
    100.64.1.10  port-     |     198.18.0.0/24   |     symmetric  100.64.2.10
                 restricted+------- core --------+
                                   |    |
                           Kamailio 5   20 Millrace (its end of a veth; the kernel has no address)

NAT A maps a private port to one public port for all destinations (endpoint-independent mapping) and
filters by address and port. NAT B maps to a new random public port per destination (symmetric), so
the source of its phone's media cannot be predicted.

Names contain the process ID. Namespaces of a killed lab are removed by the next one. Programs enter
by nsenter, which unlike `ip netns exec` also works in a chroot whose root is not a mount point.
"""

import json
import os
import pathlib
import re

from processes import run

PROXY = "198.18.0.5"
RELAY = "198.18.0.20"
NAT_A, NAT_B = "198.18.0.101", "198.18.0.102"
PHONE_A, PHONE_B = "100.64.1.10", "100.64.2.10"
NEIGHBOUR_A = "100.64.1.20"  # a second host behind NAT A
RELAY_DEVICE = "relay0"  # the veth end that Millrace owns
RELAY_TAP = "millrace0"  # NIC=tap: the kernel's end of the tap that DPDK makes
RELAY_WIRE = "relay"     # the bridge's end, which carries all of Millrace's packets

NETNS = pathlib.Path("/run/netns")


class Namespace:
    def __init__(self, name):
        self.name = name

    def enter(self):
        return ["nsenter", f"--net={NETNS / self.name}"]

    def run(self, command, **options):
        return run(command.split() if isinstance(command, str) else command, self, **options)

    def create(self):
        run(["ip", "netns", "add", self.name])
        # No IPv6 traffic. ARP replies only from the interface that has the address.
        self.run(["sysctl", "-q", "-e", "-w", "net.ipv6.conf.all.disable_ipv6=1",
                  "net.ipv6.conf.default.disable_ipv6=1", "net.ipv4.conf.all.arp_ignore=1"])
        self.run("ip link set lo up")

    def remove(self):
        if (NETNS / self.name).exists():
            run(["ip", "netns", "delete", self.name], check=False)


class Topology:
    ROLES = ("core", "relay", "nat-a", "nat-b", "phone-a", "phone-b")

    def __init__(self):
        self.prefix = f"millrace-{os.getpid()}"
        self._spaces = {role: Namespace(f"{self.prefix}-{role}") for role in self.ROLES}

    def __getitem__(self, role):
        return self._spaces[role]

    def create(self):
        remove_orphans()
        for space in self._spaces.values():
            space.create()
        core, relay = self["core"], self["relay"]
        # No STP, delay or snooping: the bridge forwards from the first frame.
        core.run("ip link add core type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        core.run(f"ip address add {PROXY}/24 dev core")
        core.run("ip link set core up")
        self._cable(core, RELAY_WIRE, relay, RELAY_DEVICE)
        core.run(f"ip link set {RELAY_WIRE} master core")
        self._site("nat-a", NAT_A, "phone-a", PHONE_A, "masquerade persistent")
        self._site("nat-b", NAT_B, "phone-b", PHONE_B, "masquerade fully-random")

    def _site(self, nat, public, phone, private, masquerade):
        core, router, phone = self["core"], self[nat], self[phone]
        inside = private.rsplit(".", 1)[0] + ".1"
        self._cable(core, nat, router, "outside")
        core.run(f"ip link set {nat} master core")
        self._cable(router, "inside", phone, "eth0")
        router.run(f"ip address add {public}/24 dev outside")
        router.run(f"ip address add {inside}/24 dev inside")
        router.run("sysctl -q -w net.ipv4.ip_forward=1")
        phone.run(f"ip address add {private}/24 dev eth0")
        phone.run(f"ip route add default via {inside}")
        router.run(["nft", nat_rules(masquerade)])

    def move_to_lan_a(self, phone):
        """Moves the phone from its own site to NAT A's LAN as NEIGHBOUR_A."""
        router, phone = self["nat-a"], self[phone]
        gateway = PHONE_A.rsplit(".", 1)[0] + ".1"
        phone.run("ip link delete eth0")
        # Keeps bridged frames out of the router's filters.
        router.run("sysctl -q -e -w net.bridge.bridge-nf-call-iptables=0")
        for command in ("link set inside down", "address flush dev inside",
                        "link set inside name port0", "link set port0 up",
                        "link add inside type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                        f"address add {gateway}/24 dev inside", "link set inside up"):
            router.run(f"ip {command}")
        self._cable(router, "port1", phone, "eth0")
        for port in ("port0", "port1"):
            router.run(f"ip link set {port} master inside")
        phone.run(f"ip address add {NEIGHBOUR_A}/24 dev eth0")
        phone.run(f"ip route add default via {gateway}")

    @staticmethod
    def _cable(left, left_name, right, right_name):
        left.run(f"ip link add {left_name} type veth peer name {right_name} "
                 f"netns {NETNS / right.name}")
        for space, name in ((left, left_name), (right, right_name)):
            # With TX offload, veth passes partial UDP checksums, which only a kernel completes.
            space.run(f"ethtool -K {name} tx off")
            space.run(f"ip link set {name} up")

    def bridge_tap(self):
        """NIC=tap: bridges the tap that DPDK made in the relay's namespace to the veth there.

        The tap's kernel end has the MAC address that Millrace uses. A bridge consumes frames
        addressed to its own ports, so the kernel end gets another address.
        """
        relay = self["relay"]
        relay.run("ip link add patch type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        relay.run(f"ip link set {RELAY_TAP} down")
        relay.run(f"ip link set {RELAY_TAP} address 02:00:00:00:00:fe")
        for name in (RELAY_TAP, RELAY_DEVICE):
            relay.run(f"ip link set {name} master patch")
            relay.run(f"ip link set {name} up")
        relay.run("ip link set patch up")

    def counters(self, nat):
        """Packets from and to the NAT's phone, by kind: {name: packets}."""
        rules = json.loads(self[nat].run("nft -j list counters table ip lab"))["nftables"]
        return {rule["counter"]["name"]: rule["counter"]["packets"]
                for rule in rules if "counter" in rule}

    def reset_counters(self):
        for nat in ("nat-a", "nat-b"):
            self[nat].run("nft reset counters table ip lab")

    def remove(self):
        for space in self._spaces.values():
            space.remove()


def nat_rules(masquerade):
    """nftables rules of one NAT: translation, filter and counters."""
    return f"""
      table ip lab {{
        counter to_proxy {{}}
        counter to_relay {{}}
        counter to_elsewhere {{}}
        counter from_proxy {{}}
        counter from_relay {{}}
        counter from_elsewhere {{}}
        counter refused {{}}
        chain count {{
          type filter hook prerouting priority raw; policy accept;
          iifname "inside" ip daddr {PROXY} counter name to_proxy accept
          iifname "inside" ip daddr {RELAY} counter name to_relay accept
          iifname "inside" counter name to_elsewhere accept
          iifname "outside" ip saddr {PROXY} counter name from_proxy accept
          iifname "outside" ip saddr {RELAY} counter name from_relay accept
          iifname "outside" counter name from_elsewhere accept
        }}
        chain unsolicited {{
          type filter hook input priority filter; policy accept;
          iifname "outside" ct state new counter name refused drop
        }}
        chain pass {{
          type filter hook forward priority filter; policy drop;
          iifname "inside" oifname "outside" accept
          iifname "outside" oifname "inside" ct state established accept
        }}
        chain translate {{
          type nat hook postrouting priority srcnat; policy accept;
          oifname "outside" {masquerade}
        }}
      }}"""


def remove_orphans():
    """Removes the namespaces of labs whose process no longer exists."""
    if not NETNS.is_dir():
        return
    for path in NETNS.iterdir():
        lab = re.fullmatch(r"millrace-(\d+)-(?:" + "|".join(Topology.ROLES) + ")", path.name)
        if lab and not pathlib.Path("/proc", lab[1]).exists():
            Namespace(path.name).remove()

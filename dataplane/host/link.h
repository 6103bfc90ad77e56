// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One configured interface on the packet path: own addresses, neighbor table, peer policy.
//
// Created at start-up. Only the neighbor table changes later. Media addresses are numbered over all
// links in the order of configuration. Several links may share one NIC: the destination address of
// a packet selects the link. Each link has its own next hops.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/base/net.h"
#include "dataplane/host/neighbor.h"
#include "dataplane/path.h"

namespace millrace {

struct Link {
  Link(std::size_t nic_index, const MacAddress& own_mac, std::vector<Prefix> own_addresses,
       MediaAddressId first_address, const std::vector<IpAddress>& gateways, std::uint64_t tsc_hz,
       PeerPolicy policy = {})
      : nic(nic_index),
        mac(own_mac),
        addresses(std::move(own_addresses)),
        networks(networks_of(addresses)),
        first(first_address),
        peers(std::move(policy)),
        neighbors(addresses, gateways, tsc_hz) {}

  std::size_t nic;                        // NICs are numbered in the order of configuration
  MacAddress mac;                         // of the NIC
  std::size_t mtu = 1500;                 // longest IP packet on the network, in bytes
  std::chrono::seconds relatch_after{5};  // as InterfaceConfig::relatch_after
  std::vector<Prefix> addresses;
  std::vector<Prefix> networks;  // of `addresses`
  MediaAddressId first;          // of addresses[0]; the others follow
  PeerPolicy peers;
  NeighborTable neighbors;
};

}  // namespace millrace

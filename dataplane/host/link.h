// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One interface as the packet path sees it: what we are there, who is next to us, and with whom
// media is exchanged.
//
// Made at start-up, then constant but for its neighbours. Media addresses are numbered over all
// links in the order of configuration. Several links may be on one NIC: a packet belongs to the one
// that has its address, and each has its own next hops.

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

  std::size_t nic;         // NICs are numbered in the order of configuration
  MacAddress mac;          // the NIC's
  std::size_t mtu = 1500;  // of the network: the longest IP packet in bytes
  std::vector<Prefix> addresses;
  std::vector<Prefix> networks;  // of these
  MediaAddressId first;          // of addresses[0]; the others follow
  PeerPolicy peers;
  NeighborTable neighbors;
};

}  // namespace millrace

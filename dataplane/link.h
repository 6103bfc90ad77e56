// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One interface as the packet path sees it: what we are there, and who is next to us.
//
// Made at start-up, then constant but for its neighbours. Media addresses are numbered over all
// links in the order of configuration.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/neighbor.h"
#include "dataplane/net.h"

namespace millrace {

struct Link {
  Link(const MacAddress& own_mac, std::vector<Prefix> own_addresses, MediaAddressId first_address,
       const std::optional<IpAddress>& gateway, std::uint64_t tsc_hz)
      : mac(own_mac),
        addresses(std::move(own_addresses)),
        first(first_address),
        neighbors(addresses, gateway, tsc_hz) {}

  MacAddress mac;
  std::vector<Prefix> addresses;
  MediaAddressId first;  // of addresses[0]; the others follow
  NeighborTable neighbors;
};

}  // namespace millrace

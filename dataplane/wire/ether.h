// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Conversion of MAC addresses to and from DPDK's type; TTL and mbuf length of frames that the relay
// itself writes.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/base/net.h"

namespace millrace {

inline constexpr std::uint8_t kOwnTtl = 64;

[[nodiscard]] inline MacAddress to_mac(const rte_ether_addr& address) {
  MacAddress mac;
  std::ranges::copy(address.addr_bytes, mac.bytes.begin());
  return mac;
}

[[nodiscard]] inline rte_ether_addr to_ether(const MacAddress& mac) {
  rte_ether_addr address{};
  std::ranges::copy(mac.bytes, address.addr_bytes);
  return address;
}

inline void set_length(rte_mbuf& packet, std::size_t length) {
  packet.pkt_len = static_cast<std::uint32_t>(length);
  packet.data_len = static_cast<std::uint16_t>(length);
  packet.ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
}

}  // namespace millrace

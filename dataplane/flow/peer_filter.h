// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Filter of peer addresses of one interface: local addresses, networks and peer policy, compiled at
// start-up into one table.
//
// An attacker chooses the lookup rate, so the cost of a lookup must not grow with the
// configuration. The table is a multibit trie with a stride of one byte (a 256-way node per byte of
// the address): at most 4 loads for IPv4 and 16 for IPv6, whatever the number of entries. Prefixes
// are added from the weakest verdict to the strongest, each over the former: default, allow, deny,
// addresses that are no peer's. A node takes 1 KB, an entry at most 3 nodes (IPv4) or 15 (IPv6).

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/net.h"
#include "dataplane/host/link.h"
#include "dataplane/stats.h"

namespace millrace {

class PeerFilter {
 public:
  // `links` are all interfaces: their local addresses are refused as peers.
  PeerFilter(const Link& link, std::span<Link* const> links);

  // Drop reason for media to or from `address`, or nothing. source_invalid: not sendable, the
  // network or broadcast address of one of the interface's networks, or a local address, also
  // embedded in an IPv6 address. peer_denied: not admitted by the policy.
  [[nodiscard]] std::optional<DropReason> refuses(const IpAddress& address) const;

 private:
  enum class Verdict : std::uint32_t { admitted, unlisted, denied, invalid };

  void add(const Prefix& prefix, Verdict verdict);
  void add_host(const IpAddress& address, Verdict verdict);
  [[nodiscard]] Verdict find(const IpAddress& address) const;

  // An entry is a Verdict, or kChild with the child's index at kChildShift.
  static constexpr std::uint32_t kChild = 4;
  static constexpr unsigned kChildShift = 3;
  using Node = std::array<std::uint32_t, 256>;
  std::vector<Node> nodes_;  // roots first: 0 = IPv4, from byte 12 of the mapped form; 1 = IPv6
};

}  // namespace millrace

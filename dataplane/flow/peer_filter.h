// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which addresses one interface may exchange media with: its own addresses, networks and peer
// policy, compiled at start-up into one table.
//
// Strangers choose how often this is asked, so a lookup must not cost more the more is configured.
// The table is a multibit trie with a stride of one byte (a 256-way node a byte of the address): at
// most 4 loads for IPv4 and 16 for IPv6, whatever the number of entries. Verdicts are painted over
// their prefixes from the weakest to the strongest: default, allow, deny, addresses that are no
// peer's. A node takes 1 KB, an entry at most 3 nodes (IPv4) or 15 (IPv6).

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
  // `links` are all interfaces: an address of any of them is nobody's peer.
  PeerFilter(const Link& link, std::span<Link* const> links);

  // Why media may not go to or come from there. source_invalid: it cannot be sent to, is the
  // network or broadcast address of one of the interface's networks, or our own, also inside an
  // IPv6 address. peer_denied: the policy does not admit it.
  [[nodiscard]] std::optional<DropReason> refuses(const IpAddress& address) const;

 private:
  enum class Verdict : std::uint32_t { admitted, unlisted, denied, invalid };

  void paint(const Prefix& prefix, Verdict verdict);
  void paint_host(const IpAddress& address, Verdict verdict);
  [[nodiscard]] Verdict find(const IpAddress& address) const;

  // An entry is a Verdict, or a child's number shifted over kChild.
  static constexpr std::uint32_t kChild = 4;
  static constexpr unsigned kChildShift = 3;
  using Node = std::array<std::uint32_t, 256>;
  std::vector<Node> nodes_;  // first the roots: IPv4 from byte 12 of the mapped form on, IPv6
};

}  // namespace millrace

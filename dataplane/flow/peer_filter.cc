// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/peer_filter.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

constexpr std::size_t kMappedBytes = 12;  // prefix of a mapped IPv4 address

std::size_t first_byte(const IpAddress& address) { return address.is_v4() ? kMappedBytes : 0; }

// The first or last address of a network.
IpAddress end_of(const Prefix& network, bool last) {
  auto bytes = network.address.bytes();
  const std::size_t start = first_byte(network.address);
  for (std::size_t at = start; at < bytes.size(); ++at) {
    const std::size_t before = 8 * (at - start);
    const std::size_t kept = network.length <= before ? 0 : network.length - before;
    const auto hosts = static_cast<std::uint8_t>(kept >= 8 ? 0 : 0xff >> kept);
    bytes[at] = static_cast<std::uint8_t>(last ? bytes[at] | hosts : bytes[at] & ~hosts);
  }
  return IpAddress::v6(bytes);  // also mapped IPv4
}

}  // namespace

PeerFilter::PeerFilter(const Link& link, std::span<Link* const> links) {
  const bool open = link.peers.allow.empty();
  Node all{};
  all.fill(std::to_underlying(open ? Verdict::admitted : Verdict::unlisted));
  nodes_ = {all, all};
  for (const Prefix& prefix : link.peers.allow) add(prefix, Verdict::admitted);
  for (const Prefix& prefix : link.peers.deny) add(prefix, Verdict::denied);
  for (const Prefix& network : link.networks) {
    for (const IpAddress& end : {end_of(network, false), end_of(network, true)}) {
      if (network.reserves(end)) add_host(end, Verdict::invalid);
    }
  }
  for (const Link* each : links) {
    for (const Prefix& own : each->addresses) add_host(own.address, Verdict::invalid);
  }
}

void PeerFilter::add_host(const IpAddress& address, Verdict verdict) {
  add({address, static_cast<std::uint8_t>(address.is_v4() ? 32 : 128)}, verdict);
}

void PeerFilter::add(const Prefix& prefix, Verdict verdict) {
  const auto& bytes = prefix.address.bytes();
  std::size_t at = first_byte(prefix.address);
  std::size_t node = at == 0 ? 1 : 0;
  unsigned length = prefix.length;
  for (; length > 8; length -= 8, ++at) {
    const std::uint32_t entry = nodes_[node][bytes[at]];
    if ((entry & kChild) == 0) {
      Node child{};
      child.fill(entry);
      nodes_[node][bytes[at]] = static_cast<std::uint32_t>(nodes_.size()) << kChildShift | kChild;
      nodes_.push_back(child);
    }
    node = nodes_[node][bytes[at]] >> kChildShift;
  }
  const std::size_t count = std::size_t{1} << (8 - length);
  const std::size_t first = bytes[at] & ~(count - 1);
  std::fill_n(nodes_[node].begin() + static_cast<std::ptrdiff_t>(first), count,
              std::to_underlying(verdict));
}

PeerFilter::Verdict PeerFilter::find(const IpAddress& address) const {
  const auto& bytes = address.bytes();
  std::size_t at = first_byte(address);
  std::uint32_t entry = nodes_[at == 0 ? 1 : 0][bytes[at]];
  while ((entry & kChild) != 0) entry = nodes_[entry >> kChildShift][bytes[++at]];
  return static_cast<Verdict>(entry);
}

std::optional<DropReason> PeerFilter::refuses(const IpAddress& address) const {
  if (!address.is_sendable()) return DropReason::source_invalid;
  Verdict verdict = find(address);
  // An embedded IPv4 address, to which a gateway would send, must not be local or denied either.
  if (const auto inside = address.embedded_v4(); inside && verdict != Verdict::invalid) {
    const Verdict there = find(*inside);
    if (there == Verdict::invalid || there == Verdict::denied) verdict = there;
  }
  switch (verdict) {
    case Verdict::invalid:
      return DropReason::source_invalid;
    case Verdict::denied:
    case Verdict::unlisted:
      return DropReason::peer_denied;
    case Verdict::admitted:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace millrace

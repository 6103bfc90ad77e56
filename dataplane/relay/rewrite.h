// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Header rewrite of a relayed datagram, within a family or between IPv4 and IPv6.
//
// The slot's rule holds the expected source, the new addresses and ports, and the checksum deltas.
// The UDP checksum covers the same length and protocol in both families (RFC 8200 section 8.1), so
// addresses and ports alone change it, also when the header is translated (RFC 7915). It is updated
// incrementally and never recomputed: a corrupt packet stays corrupt. TTL or hop limit is
// decremented, type of service and traffic class are copied, the flow label is kept within IPv6,
// and a new IPv4 header is that of an atomic datagram (RFC 6864).

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/net.h"
#include "dataplane/flow/flow.h"
#include "dataplane/host/neighbor.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/frame.h"

namespace millrace {

// The words of a slot's rule, as stored. An IPv4 address is in the upper half of the second word;
// the first word belongs to the mapped form and is not read.
struct RuleWords {
  std::uint32_t flags = 0;
  std::array<std::uint64_t, 2> source{}, destination{};
  std::uint64_t ports = 0, next = 0, rewrite = 0;

  [[nodiscard]] static RuleWords of(const Rule& rule) {
    return {.flags = rule.flags,
            .source = rule.source.address.words(),
            .destination = rule.destination.address.words(),
            .ports = rule.ports_word(),
            .next = rule.next_word(),
            .rewrite = rule.rewrite_word()};
  }
  [[nodiscard]] bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] bool has_all(std::uint32_t wanted) const { return (flags & wanted) == wanted; }
  [[nodiscard]] std::uint32_t dscp() const { return flags >> flow_flag::kDscpShift & 0x3f; }
  [[nodiscard]] std::uint16_t source_port() const { return static_cast<std::uint16_t>(ports); }
  // Source and destination port of the sent packet.
  [[nodiscard]] std::uint32_t ports_out() const { return static_cast<std::uint32_t>(ports >> 16); }
  [[nodiscard]] UdpPort destination_port() const {
    return UdpPort(Be16::from_raw(static_cast<std::uint16_t>(ports >> 32)).host());
  }
  [[nodiscard]] std::size_t tx_context() const { return ports >> 48; }
  [[nodiscard]] SlotIndex peer() const { return SlotIndex(static_cast<std::uint32_t>(next >> 16)); }
  [[nodiscard]] std::uint16_t hop() const { return static_cast<std::uint16_t>(next); }
  // Whether the stored next hop is still valid: the tags match.
  [[nodiscard]] bool hop_matches(NeighborWord word) const { return (next ^ word.raw()) >> 48 == 0; }
  [[nodiscard]] std::uint16_t udp_complement() const { return static_cast<std::uint16_t>(rewrite); }
  [[nodiscard]] std::uint16_t ip_delta() const { return static_cast<std::uint16_t>(rewrite >> 16); }
  [[nodiscard]] std::uint32_t clock_rate() const {
    return static_cast<std::uint32_t>(rewrite >> 32);
  }
};
static_assert(std::endian::native == std::endian::little);

[[nodiscard]] constexpr std::uint32_t v4_of(const std::array<std::uint64_t, 2>& address) {
  return static_cast<std::uint32_t>(address[1] >> 32);
}

// Copies the words that a packet needs which is received as family `In` and sent as `Out`.
template <Family In, Family Out>
[[gnu::always_inline]] inline void copy_words(const RuleLine& line, std::uint64_t head,
                                              RuleWords& out) {
  constexpr auto kAcquire = std::memory_order_acquire;
  out.flags = static_cast<std::uint32_t>(head >> 32);
  if constexpr (In == Family::ipv6) out.source[0] = line.source[0].load(kAcquire);
  out.source[1] = line.source[1].load(kAcquire);
  if constexpr (Out == Family::ipv6) out.destination[0] = line.destination[0].load(kAcquire);
  out.destination[1] = line.destination[1].load(kAcquire);
  out.ports = line.ports.load(kAcquire);
  out.next = line.next.load(kAcquire);
  out.rewrite = line.rewrite.load(kAcquire);
}

// Whether a datagram comes from the slot's source. The source has the family of the slot's local
// address (FlowTable::unreachable).
template <Family In>
[[gnu::always_inline]] inline bool is_from(const RuleWords& words, const std::byte* ip) {
  if constexpr (In == Family::ipv4) {
    return v4_of(words.source) == load<std::uint32_t>(ip + 12) &&
           words.source_port() == load<std::uint16_t>(ip + kIpv4Size);
  } else {
    return words.source[0] == load<std::uint64_t>(ip + 8) &&
           words.source[1] == load<std::uint64_t>(ip + 16) &&
           words.source_port() == load<std::uint16_t>(ip + kIpv6Size);
  }
}

[[nodiscard]] inline Family family_of(const std::byte* ip) {
  return (ip[0] >> 4) == std::byte{4} ? Family::ipv4 : Family::ipv6;
}

[[nodiscard]] inline Endpoint source_of(const std::byte* ip) {
  const Family family = family_of(ip);
  const UdpPort port(load_be16(ip + ip_size(family)));
  if (family == Family::ipv4) {
    return {IpAddress::v4(load<Be32>(ip + 12)), port};
  }
  return {IpAddress::v6(load<std::array<std::uint8_t, 16>>(ip + 8)), port};
}

// Writes the six DSCP bits and keeps the sender's two ECN bits (RFC 3168).
inline void mark(std::byte* ip, std::uint32_t dscp) {
  if (family_of(ip) == Family::ipv4) {
    const auto before = load<std::uint16_t>(ip);
    const std::uint32_t service = dscp << 2 | (before >> 8 & 3);
    const auto after = static_cast<std::uint16_t>((before & 0xff) | service << 8);
    store(ip, after);
    store(ip + 10, updated_checksum(load<std::uint16_t>(ip + 10), fold(word_delta(before, after))));
  } else {
    const std::uint32_t before = load_be16(ip);
    const auto after = static_cast<std::uint16_t>((before & 0xf03f) | dscp << 6);
    store(ip, Be16(after));
  }
}

[[nodiscard]] inline bool lacks_udp_checksum(const std::byte* ip) {
  return load<std::uint16_t>(ip + kIpv4Size + 6) == 0;
}

// Computes the checksum of a UDP datagram over IPv4 that has none, because UDP over IPv6 requires
// one (RFC 7915 section 4.5).
inline void add_udp_checksum(std::byte* ip) {
  std::byte* const udp = ip + kIpv4Size;
  const std::uint16_t length = load_be16(udp + 4);
  const std::uint32_t pseudo =
      std::uint32_t{ones_sum({ip + 12, 8})} + Be16(IPPROTO_UDP).raw() + Be16(length).raw();
  const auto sum =
      static_cast<std::uint16_t>(~fold(std::uint64_t{pseudo} + ones_sum({udp, length})));
  store(udp + 6, sum == 0 ? std::uint16_t{0xffff} : sum);
}

namespace detail {

// Replaces the IP header by one of the other family in front of the same UDP header. The caller
// writes addresses and checksum.
template <Family In, Family Out>
[[gnu::always_inline]] inline std::byte* translate_header(std::byte* ip) {
  if constexpr (In == Family::ipv4) {
    const auto service = std::to_integer<std::uint32_t>(ip[1]);
    const std::uint16_t length = load_be16(ip + 2);
    const std::byte ttl = ip[8];
    ip -= kIpv6Size - kIpv4Size;
    store(ip, Be32(0x6000'0000 | service << 20));
    store(ip + 4, Be16(static_cast<std::uint16_t>(length - kIpv4Size)));
    ip[6] = std::byte{IPPROTO_UDP};
    ip[7] = ttl;
  } else {
    const std::uint32_t service = load_be16(ip) >> 4 & 0xff;
    const std::uint16_t length = load_be16(ip + 4);
    const std::byte limit = ip[7];
    ip += kIpv6Size - kIpv4Size;
    store(ip, Be16(static_cast<std::uint16_t>(0x4500 | service)));
    store(ip + 2, Be16(static_cast<std::uint16_t>(length + kIpv4Size)));
    store(ip + 4, Be32(0x4000));  // no identification, don't fragment
    ip[8] = limit;
    ip[9] = std::byte{IPPROTO_UDP};
  }
  return ip;
}

}  // namespace detail

// Rewrites addresses, ports, TTL and checksums. `own` is the new source address. Returns the new
// position of the IP header: from IPv4 to IPv6 20 bytes before the old one.
template <Family In, Family Out>
[[gnu::always_inline]] inline std::byte* rewrite(std::byte* ip, const RuleWords& words,
                                                 const std::array<std::uint64_t, 2>& own) {
  if constexpr (In != Out) ip = detail::translate_header<In, Out>(ip);
  std::byte* const udp = ip + ip_size(Out);
  if constexpr (Out == Family::ipv4) {
    store(ip + 12, words.destination[1]);  // destination in the upper half; source overwrites lower
    store(ip + 12, v4_of(own));
  } else {
    store(ip + 8, own);
    store(ip + 24, words.destination);
  }
  store(udp, words.ports_out());
  constexpr std::size_t kLife = Out == Family::ipv4 ? 8 : 7;
  ip[kLife] = static_cast<std::byte>(std::to_integer<unsigned>(ip[kLife]) - 1);
  if constexpr (In == Family::ipv4 && Out == Family::ipv4) {
    store(ip + 10, updated_checksum(load<std::uint16_t>(ip + 10), words.ip_delta()));
  } else if constexpr (Out == Family::ipv4) {
    store(ip + 10, std::uint16_t{0});
    store(ip + 10, ipv4_checksum(ip));
  }
  const auto checksum = load<std::uint16_t>(udp + 6);
  if (checksum != 0) [[likely]]
    store(udp + 6, added_checksum(checksum, words.udp_complement()));
  return ip;
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What changes in a datagram on its way through, within a family or from one to the other.
//
// A slot's orders say it all: whose datagram it must be, the new addresses and ports, and by how
// much the checksums change. The UDP checksum covers the same length and protocol in both families
// (RFC 8200 section 8.1), so it changes by addresses and ports alone, also where the header is
// exchanged for the other family's (RFC 7915): it is never summed up again, and what was corrupt
// stays corrupt. TTL and hop limit lose one, the type of service is the traffic class, a flow
// label is kept, and a new IPv4 header is that of an atomic datagram (RFC 6864).

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

// The words of a slot's orders, as they are stored. Of an IPv4 address, the upper half of the
// second word; the first is the mapped form's and not looked at.
struct OrderWords {
  std::uint32_t flags = 0;
  std::array<std::uint64_t, 2> source{}, destination{};
  std::uint64_t ports = 0, next = 0, rewrite = 0;

  [[nodiscard]] bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] std::uint16_t source_port() const { return static_cast<std::uint16_t>(ports); }
  // Source and destination as they leave.
  [[nodiscard]] std::uint32_t ports_out() const { return static_cast<std::uint32_t>(ports >> 16); }
  [[nodiscard]] std::size_t exit() const { return ports >> 48; }
  [[nodiscard]] SlotIndex peer() const { return SlotIndex(static_cast<std::uint32_t>(next >> 16)); }
  [[nodiscard]] std::uint16_t hop() const { return static_cast<std::uint16_t>(next); }
  // Whether the next hop is who it was.
  [[nodiscard]] bool reached_by(NeighborWord word) const { return (next ^ word.raw()) >> 48 == 0; }
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

// What a packet needs that arrives by IP of family `In` and leaves by `Out`.
template <Family In, Family Out>
[[gnu::always_inline]] inline void copy_words(const OrdersLine& line, std::uint64_t head,
                                              OrderWords& out) {
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

// Whether a datagram comes from who is heard. A slot's source is of its own address's family
// (FlowTable::unreachable).
template <Family In>
[[gnu::always_inline]] inline bool is_from(const OrderWords& words, const std::byte* ip) {
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

// Six bits of DSCP; the sender's two bits of ECN stay (RFC 3168).
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

// The checksum of a UDP datagram over IPv4 that has none, so that it can be changed to one over
// IPv6, where it must have one (RFC 7915 section 4.5).
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

// The header of one family in place of the other's, in front of the same UDP header; addresses
// and checksum are still to come.
template <Family In, Family Out>
[[gnu::always_inline]] inline std::byte* exchange_header(std::byte* ip) {
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

// Addresses, ports, TTL, and the checksums by what changed; `own` is the address that it leaves
// from. Returns where the IP header is now: from IPv4 to IPv6 twenty bytes before the old one.
template <Family In, Family Out>
[[gnu::always_inline]] inline std::byte* rewrite(std::byte* ip, const OrderWords& words,
                                                 const std::array<std::uint64_t, 2>& own) {
  if constexpr (In != Out) ip = detail::exchange_header<In, Out>(ip);
  std::byte* const udp = ip + ip_size(Out);
  if constexpr (Out == Family::ipv4) {
    store(ip + 12, words.destination[1]);  // lies behind four bytes, where the source comes now
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

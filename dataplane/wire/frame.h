// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Classifies and validates received frames, from Ethernet to UDP.
//
// classify() checks every header field that could make a later step read the wrong bytes: the
// frame's length, destination MAC, ethertype, the IP header (no options, no extension headers), its
// length, fragmentation, checksum, TTL and the UDP length. A frame of class `udp` is exactly
// Ethernet (14 bytes), IPv4 (20), UDP (8) and a payload of known length. Class `udp6` is the same
// with IPv6 (40). So all offsets are constants. PlainDatagram is the fast path: it accepts the most
// common datagrams with one vector compare.

#include <immintrin.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "dataplane/base/net.h"
#include "dataplane/stats.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/rtp.h"

namespace millrace {

inline constexpr std::size_t kEtherSize = sizeof(rte_ether_hdr);
inline constexpr std::size_t kIpv4Size = sizeof(rte_ipv4_hdr);
inline constexpr std::size_t kIpv6Size = sizeof(rte_ipv6_hdr);
inline constexpr std::size_t kUdpSize = sizeof(rte_udp_hdr);

[[nodiscard]] constexpr std::size_t ip_size(Family family) {
  return family == Family::ipv4 ? kIpv4Size : kIpv6Size;
}
[[nodiscard]] constexpr std::size_t udp_headers(Family family) {
  return kEtherSize + ip_size(family) + kUdpSize;
}
inline constexpr std::size_t kUdpHeaders = udp_headers(Family::ipv4);
inline constexpr std::size_t kUdp6Headers = udp_headers(Family::ipv6);
static_assert(kUdpHeaders == 42 && kUdp6Headers == 62);
// The longest frame at Ethernet's MTU of 1500 bytes.
inline constexpr std::size_t kLongestFrame = kEtherSize + RTE_ETHER_MTU;

// Destination port and length of a UDP header, in one load.
[[nodiscard]] inline std::uint32_t destination_and_length(const std::byte* udp) {
  return load_be32(udp + 2);
}
[[nodiscard]] inline std::uint16_t destination_port(const std::byte* udp) {
  return static_cast<std::uint16_t>(destination_and_length(udp) >> 16);
}
[[nodiscard]] inline std::uint16_t udp_length(const std::byte* udp) {
  return static_cast<std::uint16_t>(destination_and_length(udp));
}

enum class FrameKind : std::uint8_t { udp, udp6, icmp, icmp6, arp, drop };

struct FrameClass {
  FrameKind kind;
  DropReason reason{};  // of FrameKind::drop

  // Implicit, so that classify() can return a kind or a drop reason.
  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr FrameClass(FrameKind k) : kind(k) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  constexpr FrameClass(DropReason r) : kind(FrameKind::drop), reason(r) {}
  friend constexpr bool operator==(FrameClass, FrameClass) = default;
};

namespace detail {

// Classifies an IPv6 packet by a next header other than UDP.
[[nodiscard]] inline FrameClass classify_next(std::byte next) {
  switch (std::to_integer<int>(next)) {
    case IPPROTO_ICMPV6:
      return FrameKind::icmp6;
    case IPPROTO_FRAGMENT:
      return DropReason::ip_fragment;
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_DSTOPTS:
    case IPPROTO_ESP:
    case IPPROTO_AH:
    case IPPROTO_MH:
      return DropReason::ip_extension;
    default:
      return DropReason::ip_protocol;
  }
}

// Classifies IPv6 to us, or ND to a multicast group.
[[nodiscard, gnu::always_inline]] inline FrameClass classify_ipv6(std::span<const std::byte> frame,
                                                                  bool to_us) {
  if (frame.size() < kUdp6Headers) return DropReason::frame_truncated;
  const std::byte* const ip = frame.data() + kEtherSize;
  // Between an empty datagram and the rest of the frame. Lower values wrap around and fail too.
  const std::uint16_t length = load_be16(ip + 4);
  if ((ip[0] & std::byte{0xf0}) != std::byte{0x60} ||
      std::size_t{length} - kUdpSize > frame.size() - kUdp6Headers) {
    return DropReason::ip_header;
  }
  if (ip[6] != std::byte{IPPROTO_UDP}) {
    const FrameClass next = classify_next(ip[6]);
    return to_us || next == FrameKind::icmp6 ? next : DropReason::wrong_mac;
  }
  if (!to_us) return DropReason::wrong_mac;
  if (ip[7] <= std::byte{1}) return DropReason::ttl_expired;
  if (load_be16(ip + kIpv6Size + 4) != length) return DropReason::udp_length;
  // RFC 8200 section 8.1: the UDP checksum is required, as IPv6 has no header checksum.
  if (load<std::uint16_t>(ip + kIpv6Size + 6) == 0) return DropReason::udp_checksum_missing;
  return FrameKind::udp6;
}

// Classifies frames other than IPv4 without options to us.
[[nodiscard, gnu::always_inline]] inline FrameClass classify_other(std::span<const std::byte> frame,
                                                                   std::uint64_t own_mac) {
  const bool to_us = ((load<std::uint64_t>(frame.data()) ^ own_mac) & MacAddress::kWordMask) == 0;
  const std::uint16_t type = load_be16(frame.data() + 12);
  if (type == RTE_ETHER_TYPE_IPV6) {
    const bool group = load<std::uint16_t>(frame.data()) == 0x3333;  // RFC 2464 section 7
    if (to_us || group) return classify_ipv6(frame, to_us);
  }
  const bool broadcast =
      (load<std::uint64_t>(frame.data()) & MacAddress::kWordMask) == MacAddress::kWordMask;
  if (type == RTE_ETHER_TYPE_ARP && broadcast) return FrameKind::arp;
  if (!to_us) return DropReason::wrong_mac;
  switch (type) {
    case RTE_ETHER_TYPE_ARP:
      return FrameKind::arp;
    case RTE_ETHER_TYPE_VLAN:
    case RTE_ETHER_TYPE_QINQ:
      return DropReason::vlan_tagged;
    case RTE_ETHER_TYPE_IPV4:
      break;
    default:
      return DropReason::ethertype;
  }
  const auto version_and_size = std::to_integer<unsigned>(frame[kEtherSize]);
  const bool options = version_and_size > 0x45 && version_and_size <= 0x4f;
  return options ? DropReason::ip_options : DropReason::ip_header;
}

}  // namespace detail

// `own_mac`: as MacAddress::word(). `checksum_verified`: the NIC verified the IPv4 header checksum.
// The minimum length is that of an empty UDP datagram. ARP has the same length.
[[nodiscard, gnu::always_inline]] inline FrameClass classify(std::span<const std::byte> frame,
                                                             std::uint64_t own_mac,
                                                             bool checksum_verified) {
  if (frame.size() < kUdpHeaders) return DropReason::frame_truncated;
  const std::byte* const data = frame.data();
  // Destination MAC: the shift leaves its six bytes. Ethertype, IP version and header length in one
  // compare: 08 00 45. The type of service follows and is masked out.
  constexpr std::uint64_t kPlainIpv4 = 0x450008;
  const std::uint64_t other_mac = (load<std::uint64_t>(data) ^ own_mac) << 16;
  const std::uint64_t other_type = (load<std::uint32_t>(data + 12) & 0xffffff) ^ kPlainIpv4;
  if ((other_mac | other_type) != 0) [[unlikely]] {
    return detail::classify_other(frame, own_mac);
  }
  const std::byte* const ip = data + kEtherSize;
  // Between an empty datagram and the rest of the frame. Lower values wrap around and fail too.
  const std::uint16_t total = load_be16(ip + 2);
  if (std::size_t{total} - (kIpv4Size + kUdpSize) > frame.size() - kUdpHeaders) {
    return DropReason::ip_header;
  }
  if (!checksum_verified && !ipv4_checksum_ok(ip)) return DropReason::ip_checksum;
  if ((load<std::uint16_t>(ip + 6) & RTE_BE16(0x3fff)) != 0) return DropReason::ip_fragment;
  if (ip[9] != std::byte{IPPROTO_UDP}) {
    return ip[9] == std::byte{IPPROTO_ICMP} ? FrameClass(FrameKind::icmp) : DropReason::ip_protocol;
  }
  // The rewrite decrements the TTL, and no packet may be sent with 0.
  if (ip[8] <= std::byte{1}) return DropReason::ttl_expired;
  const auto udp_total = static_cast<std::uint16_t>(load_be16(ip + kIpv4Size + 4) + kIpv4Size);
  if (udp_total != total) return DropReason::udp_length;
  return FrameKind::udp;
}

// Matches frames of datagrams to us that are long enough for RTP and fit Ethernet's MTU, without
// padding, IP options or fragmentation. Their constant fields are in the first 32 bytes, compared
// with one vector instruction. A frame that does not match may still be a datagram: use classify().
template <Family F>
class PlainDatagram {
 public:
  explicit PlainDatagram(const MacAddress& own_mac) {
    std::ranges::copy(std::as_bytes(std::span(own_mac.bytes)), expected_.begin());
    std::fill_n(fixed_.begin(), own_mac.bytes.size(), std::byte{0xff});
    fix(12, kV4 ? 0x08 : 0x86);
    fix(13, kV4 ? 0x00 : 0xdd);
    fix(kEtherSize, kV4 ? 0x45 : 0x60, std::byte{kV4 ? 0xff : 0xf0});
    if (kV4) fix(kEtherSize + 6, 0, std::byte{0x3f});  // no fragment
    if (kV4) fix(kEtherSize + 7, 0);
    fix(kEtherSize + (kV4 ? 9 : 6), IPPROTO_UDP);
  }

  // `checksum_verified`: as for classify(). Every frame that matches is accepted by classify() too.
  [[nodiscard, gnu::always_inline]] bool matches(std::span<const std::byte> frame,
                                                 bool checksum_verified) const {
    // All lengths are computed from this one. The asm keeps it in a register: otherwise the
    // compiler recomputes from frame.size() and keeps a copy of that.
    std::size_t beyond = frame.size() - kShortest;
    if (beyond > kLongestFrame - kShortest) return false;  // a short frame wraps around
    asm("" : "+r"(beyond));                                // no instruction
    const __m256i differ = _mm256_xor_si256(vector(frame.data()), vector(expected_.data()));
    if (_mm256_testz_si256(differ, vector(fixed_.data())) == 0) return false;
    const std::byte* const ip = frame.data() + kEtherSize;
    const std::byte* const udp = ip + ip_size(F);
    // UDP length. IPv6's payload length is the same; IPv4's total length includes its header.
    const std::size_t datagram = beyond + kShortest - kEtherSize - ip_size(F);
    if (load_be16(ip + (kV4 ? 2 : 4)) !=
            static_cast<std::uint16_t>(datagram + (kV4 ? kIpv4Size : 0)) ||
        udp_length(udp) != static_cast<std::uint16_t>(datagram) ||
        ip[kV4 ? 8 : 7] <= std::byte{1}) {
      return false;
    }
    if constexpr (kV4) return checksum_verified || ipv4_checksum_ok(ip);
    return load<std::uint16_t>(udp + 6) != 0;
  }

 private:
  static constexpr bool kV4 = F == Family::ipv4;
  static constexpr std::size_t kShortest = udp_headers(F) + sizeof(RtpHeader);

  [[gnu::always_inline]] static __m256i vector(const std::byte* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  void fix(std::size_t at, int value, std::byte bits = std::byte{0xff}) {
    expected_[at] = static_cast<std::byte>(value);
    fixed_[at] = bits;
  }
  std::array<std::byte, sizeof(__m256i)> expected_{}, fixed_{};
};

}  // namespace millrace

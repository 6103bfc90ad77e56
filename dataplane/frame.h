// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a frame is, from Ethernet to UDP.
//
// classify() looks at every header field that could make a later step read the wrong bytes, before
// it is read: the frame's length, address, ethertype, the IPv4 header without options, its total
// length, fragmentation, checksum, TTL and the UDP length. A frame it calls `udp` is exactly
// Ethernet (14), IPv4 (20), UDP (8) and a payload of known length, so offsets are constants.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "dataplane/checksum.h"
#include "dataplane/net.h"
#include "dataplane/stats.h"

namespace millrace {

inline constexpr std::size_t kEtherSize = sizeof(rte_ether_hdr);
inline constexpr std::size_t kIpv4Size = sizeof(rte_ipv4_hdr);
inline constexpr std::size_t kUdpSize = sizeof(rte_udp_hdr);
inline constexpr std::size_t kUdpHeaders = kEtherSize + kIpv4Size + kUdpSize;
static_assert(kUdpHeaders == 42);

template <typename T>
[[nodiscard]] T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// Six bytes of a MAC address in the low 48 bits, in memory order.
inline constexpr std::uint64_t kMacMask = 0x0000'ffff'ffff'ffff;

[[nodiscard]] inline std::uint64_t mac_word(const MacAddress& mac) {
  std::uint64_t word = 0;
  std::memcpy(&word, mac.bytes.data(), mac.bytes.size());
  return word;
}

enum class FrameKind : std::uint8_t { udp, icmp, arp, drop };

struct FrameClass {
  FrameKind kind;
  DropReason reason{};  // of drop

  constexpr FrameClass(FrameKind k) : kind(k) {}
  constexpr FrameClass(DropReason r) : kind(FrameKind::drop), reason(r) {}
  friend constexpr bool operator==(FrameClass, FrameClass) = default;
};

namespace detail {

// The frame is neither IPv4 to us nor too short to have an ethertype.
[[nodiscard]] inline FrameClass classify_other(std::span<const std::byte> frame, bool to_us) {
  const bool broadcast = (load<std::uint64_t>(frame.data()) & kMacMask) == kMacMask;
  switch (rte_be_to_cpu_16(load<std::uint16_t>(frame.data() + 12))) {
    case RTE_ETHER_TYPE_ARP:
      return to_us || broadcast ? FrameClass(FrameKind::arp) : DropReason::wrong_mac;
    case RTE_ETHER_TYPE_VLAN:
    case RTE_ETHER_TYPE_QINQ:
      return to_us ? DropReason::vlan_tagged : DropReason::wrong_mac;
    default:
      return to_us ? DropReason::ethertype : DropReason::wrong_mac;
  }
}

}  // namespace detail

// `own_mac` as of mac_word(); `checksum_verified`: the NIC has found the IPv4 header's to be right.
[[nodiscard]] inline FrameClass classify(std::span<const std::byte> frame, std::uint64_t own_mac,
                                         bool checksum_verified) {
  if (frame.size() < kEtherSize) return DropReason::frame_truncated;
  const std::byte* const data = frame.data();
  const bool to_us = ((load<std::uint64_t>(data) ^ own_mac) & kMacMask) == 0;
  const auto ethertype = load<std::uint16_t>(data + 12);
  if (!to_us || ethertype != RTE_BE16(RTE_ETHER_TYPE_IPV4)) {
    return detail::classify_other(frame, to_us);
  }
  if (frame.size() < kEtherSize + kIpv4Size) return DropReason::frame_truncated;

  const std::byte* const ip = data + kEtherSize;
  if (ip[0] != std::byte{RTE_IPV4_VHL_DEF}) {
    const bool options = ip[0] > std::byte{0x45} && ip[0] <= std::byte{0x4f};
    return options ? DropReason::ip_options : DropReason::ip_header;
  }
  const std::size_t total = rte_be_to_cpu_16(load<std::uint16_t>(ip + 2));
  if (total < kIpv4Size || total > frame.size() - kEtherSize) return DropReason::ip_header;
  if (!checksum_verified && !ipv4_checksum_ok(ip)) return DropReason::ip_checksum;
  if ((load<std::uint16_t>(ip + 6) & RTE_BE16(0x3fff)) != 0) return DropReason::ip_fragment;
  if (ip[9] != std::byte{IPPROTO_UDP}) {
    return ip[9] == std::byte{IPPROTO_ICMP} ? FrameClass(FrameKind::icmp) : DropReason::ip_protocol;
  }
  // One is taken off on the way out, and nothing may leave with zero.
  if (ip[8] <= std::byte{1}) return DropReason::ttl_expired;
  if (total < kIpv4Size + kUdpSize) return DropReason::udp_length;
  const std::size_t udp = rte_be_to_cpu_16(load<std::uint16_t>(ip + kIpv4Size + 4));
  if (udp != total - kIpv4Size) return DropReason::udp_length;
  return FrameKind::udp;
}

}  // namespace millrace

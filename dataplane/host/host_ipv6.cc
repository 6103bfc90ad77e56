// SPDX-License-Identifier: BSD-3-Clause
// The IPv6 half of the Host: Neighbor Solicitations and Advertisements (RFC 4861 sections 4.3, 4.4
// and 7), ICMPv6 echo (RFC 4443 section 4). It drops Router Advertisements, Redirects and all other
// types, because addresses and gateways are configured.

#include <algorithm>
#include <array>
#include <cstring>

#include <rte_mbuf.h>

#include "dataplane/host/host.h"
#include "dataplane/host/message.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ether.h"
#include "dataplane/wire/frame.h"

namespace millrace {
namespace {

constexpr std::byte kEchoRequest{128};
constexpr std::byte kEchoReply{129};
constexpr std::byte kNeighborSolicitation{135};
constexpr std::byte kNeighborAdvertisement{136};

constexpr std::uint32_t kSolicited = 1U << 30;
constexpr std::uint32_t kOverride = 1U << 29;

// Option types (RFC 4861 section 4.6.1).
constexpr std::byte kSourceMac{1};
constexpr std::byte kTargetMac{2};

// Hop limit 255 proves that no router forwarded the packet (RFC 4861 section 11.2).
constexpr std::byte kFromThisLink{255};

constexpr std::size_t kNdSize = 24;  // up to the end of the target address
constexpr std::size_t kOptionSize = 8;
constexpr std::size_t kNdFrame = kEtherSize + kIpv6Size + kNdSize + kOptionSize;

IpAddress address_at(const std::byte* at) {
  return IpAddress::v6(load<std::array<std::uint8_t, 16>>(at));
}

MacAddress mac_at(const std::byte* at) { return {load<std::array<std::uint8_t, 6>>(at)}; }

// Sum over pseudo-header and message. All ones if the message's checksum is correct.
std::uint16_t message_sum(const std::byte* ip) {
  const std::uint16_t length = load_be16(ip + 4);
  return fold(std::uint64_t{ones_sum({ip + 8, 32})} + Be16(length).raw() +
              Be16(IPPROTO_ICMPV6).raw() + ones_sum({ip + kIpv6Size, length}));
}

// Writes an ND message whose option is the sender's MAC address.
std::size_t write_message(std::byte* frame, const MacAddress& to_mac, const MacAddress& from_mac,
                          const IpAddress& to, const IpAddress& from, std::byte type,
                          std::uint32_t flags, const IpAddress& target) {
  const rte_ether_hdr ether{to_ether(to_mac), to_ether(from_mac), RTE_BE16(RTE_ETHER_TYPE_IPV6)};
  std::memset(frame, 0, kNdFrame);
  store(frame, ether);
  std::byte* const ip = frame + kEtherSize;
  ip[0] = std::byte{0x60};
  ip[5] = std::byte{kNdSize + kOptionSize};
  ip[6] = std::byte{IPPROTO_ICMPV6};
  ip[7] = kFromThisLink;
  store(ip + 8, from.bytes());
  store(ip + 24, to.bytes());
  std::byte* const message = ip + kIpv6Size;
  message[0] = type;
  message[4] = static_cast<std::byte>(flags >> 24);
  store(message + 8, target.bytes());
  std::byte* const option = message + kNdSize;
  option[0] = type == kNeighborSolicitation ? kSourceMac : kTargetMac;
  option[1] = std::byte{1};  // length in units of eight bytes
  store(option + 2, from_mac.bytes);
  store(message + 2, static_cast<std::uint16_t>(~message_sum(ip)));
  return kNdFrame;
}

// A solicitation or advertisement that passed the checks of sections 7.1.1 and 7.1.2 common to
// both. Precondition: its checksum is correct.
struct Discovery {
  IpAddress source, destination, target;
  std::optional<MacAddress> mac;  // from the option

  [[nodiscard]] static std::optional<Discovery> read(const std::byte* ip, std::byte option_type) {
    const std::span<const std::byte> message(ip + kIpv6Size, load_be16(ip + 4));
    if (ip[7] != kFromThisLink || message[1] != std::byte{0} || message.size() < kNdSize) {
      return std::nullopt;
    }
    Discovery nd{address_at(ip + 8), address_at(ip + 24), address_at(message.data() + 8), {}};
    if (nd.target.is_multicast_or_broadcast() || nd.source.is_multicast_or_broadcast()) {
      return std::nullopt;
    }
    for (auto rest = message.subspan(kNdSize); !rest.empty();) {
      const std::size_t size = rest.size() < 2 ? 0 : 8 * std::to_integer<std::size_t>(rest[1]);
      if (size == 0 || size > rest.size()) return std::nullopt;
      if (rest[0] == option_type) nd.mac = mac_at(rest.data() + 2);
      rest = rest.subspan(size);
    }
    return nd;
  }
};

}  // namespace

std::size_t write_solicitation(std::byte* frame, const MacAddress& own_mac,
                               const Solicitation& request) {
  if (request.sender == request.target) {
    return write_message(frame, group_mac(kAllNodes), own_mac, kAllNodes, request.sender,
                         kNeighborAdvertisement, kOverride, request.target);
  }
  const IpAddress group = solicited_node_group(request.target);
  return write_message(frame, request.to.value_or(group_mac(group)), own_mac,
                       request.to ? request.target : group, request.sender, kNeighborSolicitation,
                       0, request.target);
}

// Precondition: classify() found an IPv6 header whose payload length fits the frame and is at least
// eight bytes.
std::optional<DropReason> Host::icmp6(std::size_t nic, rte_mbuf& packet, Tsc now, TxBatch& tx) {
  const auto* const ip = rte_pktmbuf_mtod_offset(&packet, const std::byte*, kEtherSize);
  if (message_sum(ip) != 0xffff) return DropReason::icmp_malformed;
  switch (ip[kIpv6Size]) {
    case kEchoRequest:
      return echo6(nic, packet, now, tx);
    case kNeighborSolicitation:
      return solicitation(nic, packet, now, tx);
    case kNeighborAdvertisement:
      return advertisement(nic, packet, now);
    default:
      return DropReason::icmp_unsupported;
  }
}

std::optional<DropReason> Host::solicitation(std::size_t nic, rte_mbuf& packet, Tsc now,
                                             TxBatch& tx) {
  auto* const frame = rte_pktmbuf_mtod(&packet, std::byte*);
  const auto nd = Discovery::read(frame + kEtherSize, kSourceMac);
  // Duplicate address detection (RFC 4862 section 5.4.2): unspecified source, solicited-node group
  // as destination, no source MAC option.
  const bool probe = nd && nd->source.is_unspecified();
  if (!nd || (probe && (nd->mac || nd->destination != solicited_node_group(nd->target)))) {
    return DropReason::nd_malformed;
  }
  // Address conflict, or our own frame looped back.
  if (owner(nic, nd->source) != nullptr) return DropReason::nd_unsolicited;
  if (nd->mac) claim(nic, nd->source, *nd->mac, now);
  const Link* const link = owner(nic, nd->target);
  if (link == nullptr) return DropReason::nd_not_for_us;
  const MacAddress asker = nd->mac.value_or(mac_at(frame + 6));
  if (!probe && (asker.bytes[0] & 1) != 0) return DropReason::nd_malformed;
  if (packet.buf_len - packet.data_off < static_cast<int>(kNdFrame)) return DropReason::no_buffer;
  const std::size_t length =
      probe ? write_message(frame, group_mac(kAllNodes), link->mac, kAllNodes, nd->target,
                            kNeighborAdvertisement, kOverride, nd->target)
            : write_message(frame, asker, link->mac, nd->source, nd->target, kNeighborAdvertisement,
                            kSolicited | kOverride, nd->target);
  set_length(packet, length);
  tx.push(&packet, length);
  return std::nullopt;
}

std::optional<DropReason> Host::advertisement(std::size_t nic, const rte_mbuf& packet, Tsc now) {
  const auto* const ip = rte_pktmbuf_mtod_offset(&packet, const std::byte*, kEtherSize);
  const auto nd = Discovery::read(ip, kTargetMac);
  if (!nd) return DropReason::nd_malformed;
  const bool solicited = (load_be16(ip + kIpv6Size + 4) & kSolicited >> 16) != 0;
  if (solicited && nd->destination.is_multicast_or_broadcast()) return DropReason::nd_malformed;
  if (owner(nic, nd->target) != nullptr) return DropReason::nd_unsolicited;
  if (solicited && learn(nic, nd->target, nd->mac, now)) return DropReason::nd_consumed;
  if (!solicited && nd->mac) claim(nic, nd->target, *nd->mac, now);
  return DropReason::nd_unsolicited;
}

std::optional<DropReason> Host::echo6(std::size_t nic, rte_mbuf& packet, Tsc now, TxBatch& tx) {
  auto* const frame = rte_pktmbuf_mtod(&packet, std::byte*);
  std::byte* const ip = frame + kEtherSize;
  const IpAddress source = address_at(ip + 8);
  const Link* const link = owner(nic, address_at(ip + 24));
  if (link == nullptr) return DropReason::not_local;
  if (!(source.is_sendable() || source.is_link_local()) || owner(nic, source) != nullptr) {
    return DropReason::source_invalid;
  }
  std::byte* const message = ip + kIpv6Size;
  if (message[1] != std::byte{0}) return DropReason::icmp_unsupported;
  if (!take_token(now)) return DropReason::icmp_rate_limited;

  // Swapping the addresses does not change the checksum.
  const auto before = load<std::uint16_t>(message);
  message[0] = kEchoReply;
  store(message + 2, updated_checksum(load<std::uint16_t>(message + 2),
                                      fold(word_delta(before, load<std::uint16_t>(message)))));
  std::swap_ranges(ip + 8, ip + 24, ip + 24);
  ip[7] = std::byte{kOwnTtl};

  auto ether = load<rte_ether_hdr>(frame);
  ether.dst_addr = ether.src_addr;
  ether.src_addr = to_ether(link->mac);
  store(frame, ether);
  const std::size_t length = kEtherSize + kIpv6Size + load_be16(ip + 4);
  set_length(packet, length);
  tx.push(&packet, length);
  return std::nullopt;
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/host/host.h"

#include <algorithm>
#include <array>
#include <functional>

#include <rte_arp.h>
#include <rte_icmp.h>
#include <rte_mbuf.h>

#include "dataplane/host/message.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/ether.h"
#include "dataplane/wire/frame.h"

namespace millrace {
namespace {

constexpr std::size_t kArpFrame = kEtherSize + sizeof(rte_arp_hdr);
static_assert(kArpFrame == 42);
constexpr std::size_t kIcmpSize = sizeof(rte_icmp_hdr);
constexpr std::size_t kRequestsPerTick = 16;  // well below TxBatch::kCapacity
constexpr MacAddress kBroadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

IpAddress to_ip(rte_be32_t raw) { return IpAddress::v4(Be32::from_raw(raw)); }

void write_arp(std::byte* frame, std::uint16_t operation, const MacAddress& from,
               const IpAddress& sender, const MacAddress& to, const MacAddress& target_mac,
               const IpAddress& target) {
  const rte_ether_hdr ether{to_ether(to), to_ether(from), RTE_BE16(RTE_ETHER_TYPE_ARP)};
  rte_arp_hdr arp{};
  arp.arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
  arp.arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
  arp.arp_hlen = sizeof(rte_ether_addr);
  arp.arp_plen = sizeof(rte_be32_t);
  arp.arp_opcode = rte_cpu_to_be_16(operation);
  arp.arp_data = {to_ether(from), sender.as_v4().raw(), to_ether(target_mac), target.as_v4().raw()};
  store(frame, ether);
  store(frame + kEtherSize, arp);
}

}  // namespace

Host::Host(std::span<Link* const> links, rte_mempool& pool, WorkerStats& stats,
           std::uint64_t tsc_hz)
    : links_(links.begin(), links.end()), pool_(pool), stats_(stats), tsc_hz_(tsc_hz) {
  for (const Link* link : links) {
    for (const Prefix& own : link->addresses) own_.push_back({{link->nic, own.address}, link});
  }
  std::ranges::sort(own_, std::less(), &Own::first);
}

std::optional<DropReason> Host::receive(std::size_t nic, FrameKind kind, rte_mbuf& packet, Tsc now,
                                        TxBatch& tx) {
  if (kind == FrameKind::arp) return arp(nic, packet, now, tx);
  return kind == FrameKind::icmp ? icmp(nic, packet, now, tx) : icmp6(nic, packet, now, tx);
}

const Link* Host::owner(std::size_t nic, const IpAddress& address) const {
  const OwnAddress wanted{nic, address};
  const auto found = std::ranges::lower_bound(own_, wanted, std::less(), &Own::first);
  return found == own_.end() || found->first != wanted ? nullptr : found->second;
}

// Updates all links of the NIC.
bool Host::learn(std::size_t nic, const IpAddress& address, const std::optional<MacAddress>& mac,
                 Tsc now) {
  bool any = false;
  for (Link* link : links_) {
    if (link->nic == nic && link->neighbors.learn(address, mac, now)) any = true;
  }
  return any;
}

void Host::claim(std::size_t nic, const IpAddress& address, const MacAddress& mac, Tsc now) {
  for (Link* link : links_) {
    if (link->nic == nic) link->neighbors.claim(address, mac, now);
  }
}

std::optional<DropReason> Host::arp(std::size_t nic, rte_mbuf& packet, Tsc now, TxBatch& tx) {
  if (packet.data_len < kArpFrame) return DropReason::arp_malformed;
  auto* const frame = rte_pktmbuf_mtod(&packet, std::byte*);
  const auto arp = load<rte_arp_hdr>(frame + kEtherSize);
  const MacAddress sender_mac = to_mac(arp.arp_data.arp_sha);
  if (arp.arp_hardware != RTE_BE16(RTE_ARP_HRD_ETHER) ||
      arp.arp_protocol != RTE_BE16(RTE_ETHER_TYPE_IPV4) || arp.arp_hlen != sizeof(rte_ether_addr) ||
      arp.arp_plen != sizeof(rte_be32_t) || rte_is_unicast_ether_addr(&arp.arp_data.arp_sha) == 0) {
    return DropReason::arp_malformed;
  }
  const IpAddress sender = to_ip(arp.arp_data.arp_sip);
  const IpAddress target = to_ip(arp.arp_data.arp_tip);
  // Address conflict, or our own frame looped back.
  if (owner(nic, sender) != nullptr) return DropReason::arp_unsolicited;

  switch (rte_be_to_cpu_16(arp.arp_opcode)) {
    case RTE_ARP_OP_REQUEST: {
      claim(nic, sender, sender_mac, now);
      const Link* const link = owner(nic, target);
      if (link == nullptr) return DropReason::arp_not_for_us;
      write_arp(frame, RTE_ARP_OP_REPLY, link->mac, target, sender_mac, sender_mac, sender);
      set_length(packet, kArpFrame);
      tx.push(&packet, kArpFrame);
      return std::nullopt;
    }
    case RTE_ARP_OP_REPLY:
      return learn(nic, sender, sender_mac, now) ? DropReason::arp_consumed
                                                 : DropReason::arp_unsolicited;
    default:
      return DropReason::arp_malformed;
  }
}

// Precondition: classify() found an IPv4 header without options whose total length fits the frame.
std::optional<DropReason> Host::icmp(std::size_t nic, rte_mbuf& packet, Tsc now, TxBatch& tx) {
  auto* const frame = rte_pktmbuf_mtod(&packet, std::byte*);
  std::byte* const ip = frame + kEtherSize;
  auto header = load<rte_ipv4_hdr>(ip);
  const IpAddress source = to_ip(header.src_addr);
  const Link* const link = owner(nic, to_ip(header.dst_addr));
  if (link == nullptr) return DropReason::not_local;
  if (!source.is_sendable() || owner(nic, source) != nullptr) return DropReason::source_invalid;

  const std::span<std::byte> message(ip + kIpv4Size,
                                     rte_be_to_cpu_16(header.total_length) - kIpv4Size);
  if (message.size() < kIcmpSize || ones_sum(message) != 0xffff) return DropReason::icmp_malformed;
  auto echo = load<rte_icmp_hdr>(message.data());
  if (echo.icmp_type != RTE_IP_ICMP_ECHO_REQUEST || echo.icmp_code != 0) {
    return DropReason::icmp_unsupported;
  }
  if (!take_token(now)) return DropReason::icmp_rate_limited;

  const auto before = load<std::uint16_t>(message.data());  // type and code
  echo.icmp_type = RTE_IP_ICMP_ECHO_REPLY;
  store(message.data(), echo);
  const auto after = load<std::uint16_t>(message.data());
  echo.icmp_cksum = updated_checksum(echo.icmp_cksum, fold(word_delta(before, after)));
  store(message.data(), echo);

  const rte_be32_t own = header.dst_addr;
  header.dst_addr = header.src_addr;
  header.src_addr = own;
  header.time_to_live = kOwnTtl;
  header.hdr_checksum = 0;
  store(ip, header);
  header.hdr_checksum = checksum({ip, kIpv4Size});
  store(ip, header);

  auto ether = load<rte_ether_hdr>(frame);
  ether.dst_addr = ether.src_addr;
  ether.src_addr = to_ether(link->mac);
  store(frame, ether);
  const std::size_t length = kEtherSize + kIpv4Size + message.size();
  set_length(packet, length);
  tx.push(&packet, length);
  return std::nullopt;
}

// Token bucket. Its depth is the replies of one second.
bool Host::take_token(Tsc now) {
  const std::uint64_t each = tsc_hz_ / kEchoRepliesPerSecond;
  const std::uint64_t earned = elapsed(tokens_at_, now) / each;
  if (earned > 0) {
    tokens_ = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(tokens_ + earned, kEchoRepliesPerSecond));
    tokens_at_ = tokens_ == kEchoRepliesPerSecond ? now : Tsc{tokens_at_.ticks + earned * each};
  }
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

void Host::send(const Link& link, const Solicitation& request, TxBatch& tx) {
  rte_mbuf* const packet = tx.room() > 0 ? rte_pktmbuf_alloc(&pool_) : nullptr;
  if (packet == nullptr) {
    stats_.drop(DropReason::no_buffer);
    return;
  }
  auto* const frame = rte_pktmbuf_mtod(packet, std::byte*);
  std::size_t length = kArpFrame;
  if (request.target.is_v4()) {
    write_arp(frame, RTE_ARP_OP_REQUEST, link.mac, request.sender, request.to.value_or(kBroadcast),
              MacAddress{}, request.target);
  } else {
    length = write_solicitation(frame, link.mac, request);
  }
  set_length(*packet, length);
  tx.push(packet, length);
}

void Host::housekeep(Tsc now, std::span<TxBatch> tx) {
  for (Link* link : links_) {
    if (!link->neighbors.due(now)) continue;
    std::array<Solicitation, kRequestsPerTick> requests;
    const std::size_t count = link->neighbors.tick(now, requests);
    for (const Solicitation& request : std::span(requests).first(count)) {
      send(*link, request, tx[link->nic]);
    }
  }
}

}  // namespace millrace

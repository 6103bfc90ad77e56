// SPDX-License-Identifier: BSD-3-Clause
#include "perf/traffic.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "dataplane/host/host.h"
#include "dataplane/relay/relay.h"
#include "dataplane/wire/checksum.h"
#include "dataplane/wire/frame.h"
#include "dataplane/wire/rtp.h"
#include "perf/environment.h"

namespace millrace::perf {
namespace {

constexpr std::uint16_t kFirstPort = 10000;
constexpr std::size_t kFlowsPerAddress = 50'000;
constexpr std::uint16_t kFirstSparePort = 60000;
constexpr std::size_t kSparePaths = 2000;
constexpr std::uint16_t kUnusedPort = 9999;
constexpr std::uint8_t kGateway = 254;
constexpr std::size_t kVoice = 172;  // G.711, 20 ms: RTP and 160 bytes

// A sender report with one report block (RFC 3550 section 6.4.1).
constexpr std::size_t kReport = 52;
constexpr std::uint32_t kSsrc = 0x1234;

constexpr MacAddress kMac{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress kGatewayMac{{2, 0, 0, 0, 0, 9}};

// A host of the media network, 10.255.255.0/24 or 2001:db8::/64.
IpAddress own_network(Family family, std::uint8_t host) {
  if (family == Family::ipv4) return IpAddress::v4(10, 255, 255, host);
  return IpAddress::v6({0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host});
}

// Party `i`, behind the gateway.
IpAddress party(Family family, std::uint32_t i) {
  const IpAddress v4 = IpAddress::v4(Be32(0x64400000U + i));
  if (family == Family::ipv4) return v4;
  auto bytes = v4.bytes();
  bytes[0] = 0x24;
  return IpAddress::v6(bytes);
}

// Addresses of the even side's family, then those of the odd side's family if it differs.
std::vector<Prefix> own_prefixes(const Families& families, std::size_t blocks) {
  std::vector<Prefix> all;
  for (const Family family : {families.even, families.odd}) {
    const std::uint8_t length = family == Family::ipv4 ? 24 : 64;
    for (std::size_t i = 1; i <= blocks; ++i) {
      all.push_back({own_network(family, static_cast<std::uint8_t>(i)), length});
    }
    if (families.odd == families.even) break;
  }
  return all;
}

constexpr std::uint32_t kStrangers = 0x6464c800;  // 100.100.200.0/21, behind the gateway

// One entry allows parties and strangers. The others deny networks that no packet comes from.
PeerPolicy policy(std::size_t entries) {
  PeerPolicy result;
  if (entries == 0) return result;
  result.allow = {{IpAddress::v4(100, 64, 0, 0), 10}};
  for (std::size_t i = 0; i + 1 < entries; ++i) {
    result.deny.push_back({IpAddress::v4(100, 100, static_cast<std::uint8_t>(i), 0), 24});
  }
  return result;
}

// With spare addresses all addresses share one block: a block takes 24 or 32 MiB, 200 would take 5
// GiB. The flows are on the last address, whose slots are initialised last.
SlotMemory memory_for(const TrafficKind& kind) {
  if (kind.spare_addresses == 0) return huge_slot_memory();
  return {.allocate =
              [](std::size_t) {
                static void* const block =
                    huge_slot_memory().allocate(FlowTable::bytes_per_address(Family::ipv6));
                return block;
              },
          .release = [](void*) {}};
}

std::uint64_t tsc_hz() {
  start_eal();  // calibrates the TSC
  return rte_get_tsc_hz();
}

std::size_t blocks_for(std::size_t flows) {
  return (flows + kFlowsPerAddress - 1) / kFlowsPerAddress;
}

template <typename T>
std::byte* put(std::byte* at, const T& header) {
  std::memcpy(at, &header, sizeof header);
  return at + sizeof header;
}

std::byte* put_ip(std::byte* at, const Flow& flow, std::size_t payload) {
  const auto length = static_cast<std::uint16_t>(kUdpSize + payload);
  if (flow.party.address.is_v4()) {
    rte_ipv4_hdr ip{};
    ip.version_ihl = RTE_IPV4_VHL_DEF;
    ip.total_length = rte_cpu_to_be_16(static_cast<std::uint16_t>(kIpv4Size + length));
    ip.time_to_live = 60;
    ip.next_proto_id = IPPROTO_UDP;
    ip.src_addr = flow.party.address.as_v4().raw();
    ip.dst_addr = flow.local.address.as_v4().raw();
    ip.hdr_checksum = ipv4_checksum(reinterpret_cast<const std::byte*>(&ip));
    return put(at, ip);
  }
  rte_ipv6_hdr ip{};
  ip.vtc_flow = RTE_BE32(0x60000000);
  ip.payload_len = rte_cpu_to_be_16(length);
  ip.proto = IPPROTO_UDP;
  ip.hop_limits = 60;
  std::ranges::copy(flow.party.address.bytes(), ip.src_addr);
  std::ranges::copy(flow.local.address.bytes(), ip.dst_addr);
  return put(at, ip);
}

void put_rtp(std::byte* at, std::uint16_t sequence) {
  put(at,
      RtpHeader{std::byte{0x80}, std::byte{0}, Be16(sequence), Be32(sequence * 160U), Be32(kSsrc)});
}

void put_report(std::byte* at, std::uint16_t sequence) {
  std::array<Be32, kReport / 4> words{};
  words[0] = Be32(0x81c8'0000U | (kReport / 4 - 1));  // version 2, one block, SR
  words[1] = Be32(kSsrc);
  words[2] = Be32(sequence + 1U);  // of the time stamp
  words[7] = Be32(kSsrc);          // the block's: fraction lost is 0
  // The report refers to itself: the two flows of a path share the quality of one port pair. Both
  // round-trip legs are known then, and each report is a complete sample.
  words[11] = Be32((sequence + 1U) << 16);
  std::memcpy(at, words.data(), kReport);
}

}  // namespace

Traffic::Traffic(const TrafficKind& kind)
    : kind_(kind),
      blocks_(kind.spare_addresses + blocks_for(kind.flows)),
      link_(0, kMac, own_prefixes(kind.families, blocks_), MediaAddressId{0},
            {own_network(Family::ipv4, kGateway), own_network(Family::ipv6, kGateway)}, tsc_hz(),
            policy(kind.policy)),
      sequences_(kind.flows) {
  learn_gateways();
  table_ = std::make_unique<FlowTable>(links(), tsc_hz(), memory_for(kind));
  for (std::size_t i = 0; i < kind.flows; i += 2) publish(i);
  latch();
}

// The first ticks announce our own addresses. With many addresses the gateway requests come later.
void Traffic::learn_gateways() {
  const Tsc now{rte_rdtsc()};
  for (const Family family : {kind_.families.even, kind_.families.odd}) {
    const IpAddress gateway = own_network(family, kGateway);
    if (!link_.neighbors.resolve(gateway, now)) throw std::logic_error("no room for the gateway");
    bool known = false;
    for (std::size_t ticks = 0; !known && ticks <= link_.addresses.size(); ++ticks) {
      std::array<Solicitation, 64> requests;
      (void)link_.neighbors.tick(now, requests);
      known = link_.neighbors.learn(gateway, kGatewayMac, now);
    }
    if (!known) throw std::logic_error("the gateway is not known");
    if (kind_.families.odd == kind_.families.even) break;
  }
}

// The first packet of each flow latches it.
void Traffic::latch() {
  static rte_mempool& pool = make_pool(1);
  WorkerStats stats;
  Host host(links(), pool, stats, tsc_hz());
  TxBatch tx;
  Relay relay(*table_, links(), host, {&tx, 1}, stats);
  rte_mbuf* packet = rte_pktmbuf_alloc(&pool);
  for (std::size_t i = 0; i < kind_.flows; ++i) {
    fill(*packet, i);
    relay.burst(0, {&packet, 1}, Tsc{rte_rdtsc()});
    if (tx.count != 1) throw std::logic_error("a flow did not latch");
    tx.clear();
  }
  rte_pktmbuf_free(packet);
}

Flow Traffic::flow(std::size_t i) const {
  const Family family = i % 2 == 0 ? kind_.families.even : kind_.families.odd;
  const std::size_t block = kind_.spare_addresses + i / kFlowsPerAddress;
  const std::size_t address = family == kind_.families.even ? block : blocks_ + block;
  const UdpPort port(static_cast<std::uint16_t>(kFirstPort + i % kFlowsPerAddress));
  return {.party = {party(family, static_cast<std::uint32_t>(i)),
                    UdpPort(static_cast<std::uint16_t>(5000 + i % 1000))},
          .local = {own_network(family, static_cast<std::uint8_t>(block + 1)), port},
          .port = {MediaAddressId{static_cast<std::uint16_t>(address)}, port}};
}

Side Traffic::side(const Flow& flow) {
  Side side;
  side.local = flow.port;
  side.remote = flow.party;
  side.hints = {flow.party.address};
  return side;
}

void Traffic::publish(std::size_t i) {
  Path path;
  path.a = side(flow(i));
  path.b = side(flow(i + 1));
  path.payload = kind_.payload;
  table_->publish(path, Tsc{rte_rdtsc()});
}

void Traffic::withdraw(std::size_t i) {
  table_->withdraw(flow(i).port);
  table_->withdraw(flow(i + 1).port);
}

Path Traffic::spare_path(std::size_t i) const {
  Path path;
  path.a = side(flow(0));
  path.b = side(flow(1));
  const auto port = static_cast<std::uint16_t>(kFirstSparePort + 2 * (i % kSparePaths));
  path.a.local.port = UdpPort(port);
  path.b.local.port = UdpPort(port).next();
  return path;
}

void Traffic::fill(rte_mbuf& packet, std::size_t i) {
  const Flow flow = this->flow(i);
  const std::uint16_t sequence = sequences_[i]++;
  rte_pktmbuf_reset(&packet);
  auto* const frame = rte_pktmbuf_mtod(&packet, std::byte*);
  const bool v4 = flow.party.address.is_v4();
  const bool rtp = kind_.payload == Payload::rtp;
  const std::size_t size = rtp ? kVoice : kReport;
  rte_ether_hdr ether{};
  std::ranges::copy(kMac.bytes, ether.dst_addr.addr_bytes);
  std::ranges::copy(kGatewayMac.bytes, ether.src_addr.addr_bytes);
  ether.ether_type = v4 ? RTE_BE16(RTE_ETHER_TYPE_IPV4) : RTE_BE16(RTE_ETHER_TYPE_IPV6);
  std::byte* at = put_ip(put(frame, ether), flow, size);
  at = put(at, rte_udp_hdr{flow.party.port.wire().raw(), flow.local.port.wire().raw(),
                           rte_cpu_to_be_16(static_cast<std::uint16_t>(kUdpSize + size)), 0x1234});
  if (rtp) {
    put_rtp(at, sequence);
  } else {
    put_report(at, sequence);
  }
  packet.data_len = static_cast<std::uint16_t>(at + size - frame);
  packet.pkt_len = packet.data_len;
}

void Traffic::fill_astray(rte_mbuf& packet, std::size_t i) {
  fill(packet, i);
  const std::size_t ip = ip_size(i % 2 == 0 ? kind_.families.even : kind_.families.odd);
  auto* const udp = rte_pktmbuf_mtod_offset(&packet, rte_udp_hdr*, kEtherSize + ip);
  udp->dst_port = Be16(kUnusedPort).raw();
}

void Traffic::fill_stranger(rte_mbuf& packet, std::size_t i) {
  fill(packet, i);
  auto* const ip = rte_pktmbuf_mtod_offset(&packet, rte_ipv4_hdr*, kEtherSize);
  ip->src_addr = Be32(kStrangers + static_cast<std::uint32_t>(i) % 2048).raw();
  ip->hdr_checksum = 0;
  ip->hdr_checksum = ipv4_checksum(reinterpret_cast<const std::byte*>(ip));
}

void Traffic::fill(std::span<rte_mbuf* const> packets, Share& share) {
  for (rte_mbuf* const packet : packets) fill(*packet, share.first + share.random() % share.count);
}

}  // namespace millrace::perf

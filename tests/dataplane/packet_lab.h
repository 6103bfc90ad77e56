// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A packet path without NICs: two links, packets built and checked as bytes.
//
//   party A 198.18.0.10:4000 -- link 0, 198.18.0.1:30000 | 203.0.113.1:30002, link 1 -- party B
//   203.0.113.20:5000. Each has an IPv6 address as well, in 2001:db8:a::/64 and 2001:db8:b::/64
//   with the same last byte, and the same ports. Both parties are on-link and their MACs are known
//   from the start.
//
// Every test ends with all packet buffers back in the pool, or fails.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "dataplane/flow/flow_table.h"
#include "dataplane/host/host.h"
#include "dataplane/host/link.h"
#include "dataplane/relay/relay.h"
#include "tests/dataplane/packets.h"

namespace millrace::test {

inline constexpr std::uint64_t kHz = 2'000'000'000;
inline constexpr Tsc kStart{1'000 * kHz};
inline Tsc after_ms(std::uint64_t ms) { return Tsc{kStart.ticks + ms * (kHz / 1000)}; }

inline constexpr MacAddress kMac0{{0x02, 0, 0, 0, 0, 0x01}};
inline constexpr MacAddress kMac1{{0x02, 0, 0, 0, 0, 0x02}};
inline constexpr MacAddress kMacA{{0x02, 0, 0, 0, 0, 0x0a}};
inline constexpr MacAddress kMacB{{0x02, 0, 0, 0, 0, 0x0b}};
inline constexpr MacAddress kMacGateway{{0x02, 0, 0, 0, 0, 0xfe}};
inline constexpr MacAddress kBroadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
inline const Endpoint kLocalA{IpAddress::v4(198, 18, 0, 1), UdpPort(30000)};
inline const Endpoint kLocalB{IpAddress::v4(203, 0, 113, 1), UdpPort(30002)};
inline const Endpoint kPartyA{IpAddress::v4(198, 18, 0, 10), UdpPort(4000)};
inline const Endpoint kPartyB{IpAddress::v4(203, 0, 113, 20), UdpPort(5000)};
inline constexpr LocalPort kPortA{MediaAddressId{0}, UdpPort(30000)};
inline constexpr LocalPort kPortB{MediaAddressId{2}, UdpPort(30002)};

// The same scene over IPv6.
inline IpAddress v6(const char* text) { return IpAddress::parse(text).value(); }
inline const Endpoint kLocalA6{v6("2001:db8:a::1"), UdpPort(30000)};
inline const Endpoint kLocalB6{v6("2001:db8:b::1"), UdpPort(30002)};
inline const Endpoint kPartyA6{v6("2001:db8:a::10"), UdpPort(4000)};
inline const Endpoint kPartyB6{v6("2001:db8:b::20"), UdpPort(5000)};
inline const IpAddress kRouterA6 = v6("fe80::fe");
inline constexpr LocalPort kPortA6{MediaAddressId{1}, UdpPort(30000)};
inline constexpr LocalPort kPortB6{MediaAddressId{3}, UdpPort(30002)};

inline Path path_ab() {
  Path path;
  path.a.local = kPortA;
  path.a.remote = kPartyA;
  path.a.hints = {kPartyA.address};
  path.b.local = kPortB;
  path.b.remote = kPartyB;
  path.b.hints = {kPartyB.address};
  return path;
}

// Party A by the family `a`, B by `b`.
// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): A, then B, as in the name
inline Path path_ab(Family a, Family b) {
  Path path = path_ab();
  if (a == Family::ipv6) {
    path.a.local = kPortA6;
    path.a.remote = kPartyA6;
    path.a.hints = {kPartyA6.address};
  }
  if (b == Family::ipv6) {
    path.b.local = kPortB6;
    path.b.remote = kPartyB6;
    path.b.hints = {kPartyB6.address};
  }
  return path;
}

// EAL and the packet buffers, once a program.
class Buffers {
 public:
  static constexpr unsigned kCount = 255;
  static rte_mempool& pool() {
    static rte_mempool* const pool = start();
    return *pool;
  }

 private:
  static rte_mempool* start() {
    std::array<std::string, 8> words{"test",     "--no-huge",        "--no-shconf",
                                     "--no-pci", "--no-telemetry",   "-m",
                                     "64",       "--log-level=error"};
    std::array<char*, 8> args{};
    for (std::size_t i = 0; i < words.size(); ++i) args[i] = words[i].data();
    if (rte_eal_init(static_cast<int>(args.size()), args.data()) < 0) std::abort();
    rte_mempool* const pool =
        rte_pktmbuf_pool_create("packets", kCount, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (pool == nullptr) std::abort();
    return pool;
  }
};

struct Sent {
  std::size_t link = 0;
  Bytes frame;
};

// Moves the packets out of the batches of all NICs.
inline std::vector<Sent> drain(std::span<TxBatch> tx) {
  std::vector<Sent> sent;
  for (std::size_t nic = 0; nic < tx.size(); ++nic) {
    for (rte_mbuf* packet : std::span(tx[nic].packets).first(tx[nic].count)) {
      const auto* const data = rte_pktmbuf_mtod(packet, const std::byte*);
      EXPECT_EQ(packet->pkt_len, packet->data_len);
      sent.push_back({nic, Bytes(data, data + packet->data_len)});
      rte_pktmbuf_free(packet);
    }
    tx[nic].clear();
  }
  return sent;
}

class PacketLab {
 public:
  // `mtu` of each link; `peers_b` is the policy of link 1.
  explicit PacketLab(std::array<std::size_t, 2> mtu = {1500, 1500}, PeerPolicy peers_b = {})
      : link0_(0, kMac0, {Prefix{kLocalA.address, 24}, Prefix{kLocalA6.address, 64}},
               MediaAddressId{0}, {IpAddress::v4(198, 18, 0, 254), kRouterA6}, kHz),
        link1_(1, kMac1, {Prefix{kLocalB.address, 24}, Prefix{kLocalB6.address, 64}},
               MediaAddressId{2}, {}, kHz, std::move(peers_b)),
        links_{with_mtu(link0_, mtu[0]), with_mtu(link1_, mtu[1])},
        flows(links_, kHz, SlotMemory{recycle, give_back}),
        host(links_, Buffers::pool(), stats, kHz),
        relay(flows, links_, host, tx_, stats) {
    introduce(0, kPartyA.address, kMacA);
    introduce(1, kPartyB.address, kMacB);
    introduce(0, kPartyA6.address, kMacA);
    introduce(1, kPartyB6.address, kMacB);
  }
  ~PacketLab() {
    (void)send_kept(after_ms(3'600'000));  // nothing is kept that long
    EXPECT_EQ(rte_mempool_avail_count(&Buffers::pool()), Buffers::kCount);
  }
  PacketLab(const PacketLab&) = delete;
  PacketLab& operator=(const PacketLab&) = delete;

  static Link* with_mtu(Link& link, std::size_t mtu) {
    link.mtu = mtu;
    return &link;
  }
  Link& link(std::size_t i) { return *links_[i]; }

  // Resolves a neighbour: sends the request and feeds the reply.
  void introduce(std::size_t i, const IpAddress& address, const MacAddress& mac, Tsc now = kStart) {
    ASSERT_TRUE(links_[i]->neighbors.resolve(address, now));
    std::array<Solicitation, 16> requests;
    (void)links_[i]->neighbors.tick(now, requests);
    ASSERT_TRUE(links_[i]->neighbors.learn(address, mac, now));
  }

  static rte_mbuf* packet(std::span<const std::byte> frame) {
    rte_mbuf* const m = rte_pktmbuf_alloc(&Buffers::pool());
    if (m == nullptr || frame.size() > rte_pktmbuf_tailroom(m)) std::abort();
    char* const room = rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
    std::ranges::copy(frame, reinterpret_cast<std::byte*>(room));
    return m;
  }

  std::vector<Sent> burst(std::size_t i, std::vector<rte_mbuf*> packets, Tsc now) {
    relay.burst(i, packets, now);
    return drain(tx_);
  }
  // Receives one frame; returns the frame sent, if any.
  std::optional<Sent> receive(std::size_t i, std::span<const std::byte> frame, Tsc now = kStart) {
    const std::vector<Sent> sent = burst(i, {packet(frame)}, now);
    if (sent.empty()) return std::nullopt;
    return sent.front();
  }
  std::vector<Sent> housekeep(Tsc now) {
    host.housekeep(now, tx_);
    return drain(tx_);
  }
  std::vector<Sent> send_kept(Tsc now) {
    relay.send_kept(now);
    return drain(tx_);
  }

  // Datagrams of the parties, to the local address of the source's family.
  std::optional<Sent> from_a(const Bytes& payload, Tsc now = kStart,
                             const Endpoint& source = kPartyA) {
    const bool v4 = source.address.is_v4();
    const Bytes packet = udp(source, v4 ? kLocalA : kLocalA6, payload);
    return receive(0, ethernet(kMac0, kMacA, v4 ? 0x0800 : 0x86dd, packet), now);
  }
  std::optional<Sent> from_b(const Bytes& payload, Tsc now = kStart,
                             const Endpoint& source = kPartyB) {
    const bool v4 = source.address.is_v4();
    const Bytes packet = udp(source, v4 ? kLocalB : kLocalB6, payload);
    return receive(1, ethernet(kMac1, kMacB, v4 ? 0x0800 : 0x86dd, packet), now);
  }

  // Drops by reason so far, and the name of what has happened since.
  std::vector<std::uint64_t> drops() const {
    std::vector<std::uint64_t> all;
    for (const Counter& counter : stats.drops) all.push_back(counter.value());
    return all;
  }
  std::string verdict_since(const std::vector<std::uint64_t>& before) const {
    std::string names;
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (stats.drops[i].value() > before[i]) names += kDropReasons[i].name;
    }
    return names.empty() ? "relayed" : names;
  }
  std::uint64_t dropped(DropReason reason) const { return stats.dropped(reason); }
  std::uint64_t dropped() const {
    std::uint64_t sum = 0;
    for (const Counter& counter : stats.drops) sum += counter.value();
    return sum;
  }

 private:
  // Slots are 28 MB for each address: pages once touched serve the next test again.
  using Block = std::unique_ptr<void, decltype(&std::free)>;
  static std::vector<Block>& spare() {
    static std::vector<Block> blocks;
    return blocks;
  }
  static void* recycle(std::size_t bytes) {
    // For either family.
    const std::size_t most = std::max(bytes, FlowTable::bytes_per_address(Family::ipv6));
    if (spare().empty()) return std::aligned_alloc(64, most);
    void* const block = spare().back().release();
    spare().pop_back();
    return block;
  }
  static void give_back(void* block) { spare().emplace_back(block, &std::free); }

  Link link0_, link1_;
  std::array<Link*, 2> links_;
  std::array<TxBatch, 2> tx_;

 public:
  WorkerStats stats;
  FlowTable flows;
  Host host;
  Relay relay;
};

}  // namespace millrace::test

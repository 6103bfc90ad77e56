// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A packet path on the bench, without NICs: two links, packets made and looked at as bytes.
//
//   party A 198.18.0.10:4000 -- link 0, 198.18.0.1:30000 | 203.0.113.1:30002, link 1 -- party B
//   203.0.113.20:5000. Both parties are on-link and their MACs are known from the start.
//
// Every test ends with all packet buffers back in the pool, or fails.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "dataplane/checksum.h"
#include "dataplane/flow_table.h"
#include "dataplane/host.h"
#include "dataplane/link.h"
#include "dataplane/relay.h"

namespace millrace::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::initializer_list<int> values) {
  Bytes out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

inline void put16(Bytes& to, std::size_t at, std::size_t value) {
  to[at] = static_cast<std::byte>(value >> 8);
  to[at + 1] = static_cast<std::byte>(value);
}

inline void put32(Bytes& to, std::size_t at, std::uint32_t value) {
  put16(to, at, value >> 16);
  put16(to, at + 2, value & 0xffff);
}

inline std::uint16_t get16(const Bytes& from, std::size_t at) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(from[at]) << 8 |
                                    std::to_integer<unsigned>(from[at + 1]));
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Rtp {
  std::uint16_t sequence = 1;
  std::uint32_t timestamp = 160;
  std::uint32_t ssrc = 0x11223344;
  std::uint8_t payload_type = 0;
  std::size_t payload = 20;
};

inline Bytes rtp(const Rtp& packet) {
  Bytes out(12 + packet.payload, std::byte{0x5a});
  out[0] = std::byte{0x80};
  out[1] = std::byte{packet.payload_type};
  put16(out, 2, packet.sequence);
  put32(out, 4, packet.timestamp);
  put32(out, 8, packet.ssrc);
  return out;
}

// A sender report without blocks and a minimal source description.
inline Bytes rtcp(std::uint32_t ssrc) {
  Bytes out(28 + 12, std::byte{0});
  out[0] = std::byte{0x80};
  out[1] = std::byte{200};
  put16(out, 2, 6);
  put32(out, 4, ssrc);
  out[28] = std::byte{0x81};
  out[29] = std::byte{202};
  put16(out, 30, 2);
  put32(out, 32, ssrc);
  return out;
}

inline Bytes stun() {
  return bytes_of({0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
}

inline Bytes ipv4(const IpAddress& from, const IpAddress& to, std::uint8_t protocol,
                  const Bytes& payload) {
  Bytes out(20, std::byte{0});
  out[0] = std::byte{0x45};
  put16(out, 2, 20 + payload.size());
  put16(out, 4, 0x1234);
  put16(out, 6, 0x4000);
  out[8] = std::byte{64};
  out[9] = std::byte{protocol};
  put32(out, 12, from.as_v4().host());
  put32(out, 16, to.as_v4().host());
  const std::uint16_t sum = checksum(out);
  std::memcpy(out.data() + 10, &sum, 2);
  return out + payload;
}

inline std::uint16_t udp_checksum(const Bytes& packet);  // of an IPv4 packet, field as it is

inline Bytes udp(const Endpoint& from, const Endpoint& to, const Bytes& payload) {
  Bytes header(8, std::byte{0});
  put16(header, 0, from.port.number());
  put16(header, 2, to.port.number());
  put16(header, 4, 8 + payload.size());
  Bytes packet = ipv4(from.address, to.address, 17, header + payload);
  const std::uint16_t sum = udp_checksum(packet);
  const std::uint16_t sent = sum == 0 ? std::uint16_t{0xffff} : sum;
  std::memcpy(packet.data() + 26, &sent, 2);
  return packet;
}

// The ones' complement of the sum over pseudo-header, header and payload: 0 or what to write.
inline std::uint16_t udp_checksum(const Bytes& packet) {
  Bytes pseudo(packet.begin() + 12, packet.begin() + 20);
  pseudo.push_back(std::byte{0});
  pseudo.push_back(packet[9]);
  pseudo.push_back(packet[24]);
  pseudo.push_back(packet[25]);
  pseudo.insert(pseudo.end(), packet.begin() + 20, packet.end());
  return checksum(pseudo);
}

inline Bytes ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type,
                      const Bytes& payload) {
  Bytes out(14);
  for (std::size_t i = 0; i < 6; ++i) {
    out[i] = std::byte{to.bytes[i]};
    out[6 + i] = std::byte{from.bytes[i]};
  }
  put16(out, 12, type);
  return out + payload;
}

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
inline constexpr LocalPort kPortB{MediaAddressId{1}, UdpPort(30002)};

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

class PacketLab {
 public:
  PacketLab()
      : link0_(kMac0, {Prefix{kLocalA.address, 24}}, MediaAddressId{0},
               IpAddress::v4(198, 18, 0, 254), kHz),
        link1_(kMac1, {Prefix{kLocalB.address, 24}}, MediaAddressId{1}, std::nullopt, kHz),
        links_{&link0_, &link1_},
        flows(links_, kHz, SlotMemory{recycle, give_back}),
        host(links_, Buffers::pool(), stats, kHz),
        relay(flows, links_, host, stats) {
    introduce(0, kPartyA.address, kMacA);
    introduce(1, kPartyB.address, kMacB);
  }
  ~PacketLab() { EXPECT_EQ(rte_mempool_avail_count(&Buffers::pool()), Buffers::kCount); }
  PacketLab(const PacketLab&) = delete;
  PacketLab& operator=(const PacketLab&) = delete;

  Link& link(std::size_t i) { return *links_[i]; }

  // Lets a neighbour be asked for and answer.
  void introduce(std::size_t i, const IpAddress& address, const MacAddress& mac, Tsc now = kStart) {
    ASSERT_TRUE(links_[i]->neighbors.resolve(address, now));
    std::array<ArpRequest, 16> requests;
    (void)links_[i]->neighbors.tick(now, requests);
    ASSERT_TRUE(links_[i]->neighbors.learn(address, mac, now));
  }

  static rte_mbuf* packet(const Bytes& frame) {
    rte_mbuf* const m = rte_pktmbuf_alloc(&Buffers::pool());
    if (m == nullptr || frame.size() > rte_pktmbuf_tailroom(m)) std::abort();
    char* const room = rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
    std::ranges::copy(frame, reinterpret_cast<std::byte*>(room));
    return m;
  }

  std::vector<Sent> burst(std::size_t i, std::vector<rte_mbuf*> packets, Tsc now) {
    relay.burst(i, packets, now, tx_);
    return drain();
  }
  // One frame in: what came out, if anything.
  std::optional<Sent> receive(std::size_t i, const Bytes& frame, Tsc now = kStart) {
    const std::vector<Sent> sent = burst(i, {packet(frame)}, now);
    if (sent.empty()) return std::nullopt;
    return sent.front();
  }
  std::vector<Sent> housekeep(Tsc now) {
    host.housekeep(now, tx_);
    return drain();
  }

  // Datagrams of the parties.
  std::optional<Sent> from_a(const Bytes& payload, Tsc now = kStart,
                             const Endpoint& source = kPartyA) {
    return receive(0, ethernet(kMac0, kMacA, 0x0800, udp(source, kLocalA, payload)), now);
  }
  std::optional<Sent> from_b(const Bytes& payload, Tsc now = kStart,
                             const Endpoint& source = kPartyB) {
    return receive(1, ethernet(kMac1, kMacB, 0x0800, udp(source, kLocalB, payload)), now);
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
    if (spare().empty()) return std::aligned_alloc(64, bytes);
    void* const block = spare().back().release();
    spare().pop_back();
    return block;
  }
  static void give_back(void* block) { spare().emplace_back(block, &std::free); }

  std::vector<Sent> drain() {
    std::vector<Sent> sent;
    for (std::size_t i = 0; i < tx_.size(); ++i) {
      for (std::size_t k = 0; k < tx_[i].count; ++k) {
        rte_mbuf* const m = tx_[i].packets[k];
        const auto* const data = rte_pktmbuf_mtod(m, const std::byte*);
        EXPECT_EQ(m->pkt_len, m->data_len);
        sent.push_back({i, Bytes(data, data + m->data_len)});
        rte_pktmbuf_free(m);
      }
      tx_[i].clear();
    }
    return sent;
  }

  Link link0_, link1_;
  std::array<Link*, 2> links_;
  std::array<TxBatch, 2> tx_;

 public:
  WorkerStats stats;
  FlowTable flows;
  Host host;
  Relay relay;
};

// Where an IPv4 UDP frame comes from and goes to.
inline Endpoint source_of(const Bytes& frame) {
  std::uint32_t raw;
  std::memcpy(&raw, frame.data() + 26, 4);
  return {IpAddress::v4(Be32::from_raw(raw)), UdpPort(get16(frame, 34))};
}
inline Endpoint destination_of(const Bytes& frame) {
  std::uint32_t raw;
  std::memcpy(&raw, frame.data() + 30, 4);
  return {IpAddress::v4(Be32::from_raw(raw)), UdpPort(get16(frame, 36))};
}

}  // namespace millrace::test

// SPDX-License-Identifier: BSD-3-Clause
// What a relayed RTP packet costs on one core without a NIC: bursts of 32 of
// random flows, both directions, statistics on, IPv4 header checksum verified
// in software; over IPv4, over IPv6 and between the two.
//
// Only Relay::burst() is timed; the packets, 8,192 in flight so that they do
// not stay in the first cache, get their headers back in between. `counted`
// does a fixed amount for perf/instructions.

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "dataplane/checksum.h"
#include "dataplane/frame.h"
#include "dataplane/relay.h"
#include "dataplane/rtp.h"

namespace millrace {
namespace {

constexpr std::size_t kInFlight = 8192;
constexpr std::size_t kPayload = 172;  // G.711, 20 ms
constexpr std::uint16_t kFirstPort = 10000;
constexpr std::size_t kFlowsPerAddress = 50'000;
constexpr int kCountedBursts = 3000;

rte_mempool& pool() {
  static rte_mempool* const pool = [] {
    std::array<std::string, 7> words{"bench",          "--no-huge", "--no-shconf", "--no-pci",
                                     "--no-telemetry", "-m",        "64"};
    std::array<char*, 7> args{};
    for (std::size_t i = 0; i < words.size(); ++i) args[i] = words[i].data();
    if (rte_eal_init(static_cast<int>(args.size()), args.data()) < 0) std::abort();
    rte_mempool* const made = rte_pktmbuf_pool_create("packets", 2 * kInFlight - 1, 256, 0,
                                                      RTE_PKTMBUF_HEADROOM + 512, 0);
    if (made == nullptr) std::abort();
    return made;
  }();
  return *pool;
}

// Flow i: its party, and the local port that the party sends to. Flows 2k and
// 2k+1 are one path.
struct Flow {
  Endpoint party;
  Endpoint local;
  LocalPort port;
  std::uint16_t sequence = 0;
};

// The families of a path's two sides.
struct Families {
  Family even = Family::ipv4;
  Family odd = Family::ipv4;
};
constexpr Families kIpv4{};
constexpr Families kIpv6{Family::ipv6, Family::ipv6};
constexpr Families kAcross{Family::ipv4, Family::ipv6};

// A host of the media network 10.255.255.0/24 or 2001:db8::/64.
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

class Bench {
 public:
  explicit Bench(std::size_t flow_count, Families families = kIpv4)
      : families_(families),
        blocks_((flow_count + kFlowsPerAddress - 1) / kFlowsPerAddress),
        link_(0, kMac, prefixes(), MediaAddressId{0},
              {own_network(Family::ipv4, 254), own_network(Family::ipv6, 254)}, rte_get_tsc_hz()),
        links_{&link_},
        flows_(links_, rte_get_tsc_hz()),
        host_(links_, pool(), stats_, rte_get_tsc_hz()),
        relay_(flows_, links_, host_, stats_) {
    const Tsc now{rte_rdtsc()};
    for (const Family family : {families.even, families.odd}) {
      const IpAddress gateway = own_network(family, 254);
      std::array<Solicitation, 64> requests;
      if (!link_.neighbors.resolve(gateway, now)) std::abort();
      (void)link_.neighbors.tick(now, requests);
      (void)link_.neighbors.learn(gateway, MacAddress{{2, 0, 0, 0, 0, 9}}, now);
    }
    for (std::size_t i = 0; i < flow_count; ++i) list_.push_back(flow(i));
    for (std::size_t i = 0; i < flow_count; i += 2) {
      Path path;
      path.a = side(list_[i]);
      path.b = side(list_[i + 1]);
      flows_.publish(path, now);
    }
    while (packets_.size() < kInFlight) packets_.push_back(rte_pktmbuf_alloc(&pool()));
    // The first packet of each flow latches it.
    for (std::size_t i = 0; i < flow_count; ++i) {
      fill(*packets_[0], list_[i]);
      send({packets_.data(), 1});
    }
    if (stats_.relayed.value() != flow_count) std::abort();
  }
  ~Bench() { rte_pktmbuf_free_bulk(packets_.data(), static_cast<unsigned>(packets_.size())); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // One burst of random flows: the cycles it took.
  std::uint64_t burst(std::size_t size) {
    const std::span<rte_mbuf*> rx(packets_.data() + next_, size);
    next_ = next_ + 2 * size > packets_.size() ? 0 : next_ + size;
    for (rte_mbuf* packet : rx) fill(*packet, list_[random_() % list_.size()]);
    const std::uint64_t start = rte_rdtsc_precise();
    send(rx);
    return rte_rdtsc_precise() - start;
  }
  // All packets sent have been relayed, none dropped.
  [[nodiscard]] bool complete() const {
    return stats_.relayed.value() == stats_.rx_packets.value();
  }

 private:
  static constexpr MacAddress kMac{{2, 0, 0, 0, 0, 1}};

  // All of the even side's family, then those of the odd side's if that is
  // another.
  [[nodiscard]] std::vector<Prefix> prefixes() const {
    std::vector<Prefix> all;
    for (const Family family : {families_.even, families_.odd}) {
      const std::uint8_t length = family == Family::ipv4 ? 24 : 64;
      for (std::size_t i = 1; i <= blocks_; ++i) {
        all.push_back({own_network(family, static_cast<std::uint8_t>(i)), length});
      }
      if (families_.odd == families_.even) break;
    }
    return all;
  }
  [[nodiscard]] Flow flow(std::size_t i) const {
    const Family family = i % 2 == 0 ? families_.even : families_.odd;
    const std::size_t block = i / kFlowsPerAddress;
    const std::size_t address = family == families_.even ? block : blocks_ + block;
    const UdpPort port(static_cast<std::uint16_t>(kFirstPort + i % kFlowsPerAddress));
    return {.party = {party(family, static_cast<std::uint32_t>(i)),
                      UdpPort(static_cast<std::uint16_t>(5000 + i % 1000))},
            .local = {own_network(family, static_cast<std::uint8_t>(block + 1)), port},
            .port = {MediaAddressId{static_cast<std::uint16_t>(address)}, port}};
  }
  static Side side(const Flow& flow) {
    Side side;
    side.local = flow.port;
    side.remote = flow.party;
    side.hints = {flow.party.address};
    return side;
  }

  static std::size_t fill_ip(std::byte* at, const Flow& flow) {
    constexpr std::uint16_t kLength = kUdpSize + kPayload;
    if (flow.party.address.is_v4()) {
      rte_ipv4_hdr ip{};
      ip.version_ihl = RTE_IPV4_VHL_DEF;
      ip.total_length = rte_cpu_to_be_16(kIpv4Size + kLength);
      ip.time_to_live = 60;
      ip.next_proto_id = IPPROTO_UDP;
      ip.src_addr = flow.party.address.as_v4().raw();
      ip.dst_addr = flow.local.address.as_v4().raw();
      ip.hdr_checksum = checksum(std::as_bytes(std::span(&ip, 1)));
      std::memcpy(at, &ip, sizeof ip);
      return sizeof ip;
    }
    rte_ipv6_hdr ip{};
    ip.vtc_flow = RTE_BE32(0x60000000);
    ip.payload_len = rte_cpu_to_be_16(kLength);
    ip.proto = IPPROTO_UDP;
    ip.hop_limits = 60;
    std::ranges::copy(flow.party.address.bytes(), ip.src_addr);
    std::ranges::copy(flow.local.address.bytes(), ip.dst_addr);
    std::memcpy(at, &ip, sizeof ip);
    return sizeof ip;
  }

  static void fill(rte_mbuf& packet, Flow& flow) {
    rte_pktmbuf_reset(&packet);
    auto* const frame = rte_pktmbuf_mtod(&packet, std::byte*);
    const bool v4 = flow.party.address.is_v4();
    const rte_ether_hdr ether{{{2, 0, 0, 0, 0, 1}},
                              {{2, 0, 0, 0, 0, 9}},
                              v4 ? RTE_BE16(RTE_ETHER_TYPE_IPV4) : RTE_BE16(RTE_ETHER_TYPE_IPV6)};
    const rte_udp_hdr udp{flow.party.port.wire().raw(), flow.local.port.wire().raw(),
                          rte_cpu_to_be_16(kUdpSize + kPayload), 0x1234};
    const RtpHeader rtp{std::byte{0x80}, std::byte{0}, Be16(flow.sequence),
                        Be32(flow.sequence * 160U), Be32(0x1234)};
    ++flow.sequence;
    std::memcpy(frame, &ether, sizeof ether);
    std::byte* const at = frame + kEtherSize + fill_ip(frame + kEtherSize, flow);
    std::memcpy(at, &udp, sizeof udp);
    std::memcpy(at + kUdpSize, &rtp, sizeof rtp);
    const auto length = static_cast<std::uint16_t>(at + kUdpSize + kPayload - frame);
    packet.data_len = length;
    packet.pkt_len = length;
  }

  void send(std::span<rte_mbuf*> rx) {
    relay_.burst(0, rx, Tsc{rte_rdtsc()}, {&tx_, 1});
    tx_.clear();
  }

  Families families_;
  std::size_t blocks_;  // media addresses of a family
  Link link_;
  std::array<Link*, 1> links_;
  FlowTable flows_;
  WorkerStats stats_;
  Host host_;
  Relay relay_;
  TxBatch tx_;
  std::vector<Flow> list_;
  std::vector<rte_mbuf*> packets_;
  std::size_t next_ = 0;
  std::minstd_rand random_{1};
};

void relay(benchmark::State& state, Families families) {
  pool();
  Bench bench(static_cast<std::size_t>(state.range(0)), families);
  const auto size = static_cast<std::size_t>(state.range(1));
  std::uint64_t cycles = 0;
  for ([[maybe_unused]] auto _ : state) {
    const std::uint64_t taken = bench.burst(size);
    cycles += taken;
    state.SetIterationTime(static_cast<double>(taken) / static_cast<double>(rte_get_tsc_hz()));
  }
  if (!bench.complete()) state.SkipWithError("packets were dropped");
  const auto packets =
      static_cast<std::int64_t>(size) * static_cast<std::int64_t>(state.iterations());
  state.SetItemsProcessed(packets);
  state.counters["cycles/packet"] = static_cast<double>(cycles) / static_cast<double>(packets);
}
BENCHMARK_CAPTURE(relay, ipv4, kIpv4)
    ->ArgNames({"flows", "burst"})
    ->Args({1'000, 32})
    ->Args({10'000, 32})
    ->Args({100'000, 32})
    ->Args({1'000, 4})
    ->Args({1'000, 1})
    ->UseManualTime();
BENCHMARK_CAPTURE(relay, ipv6, kIpv6)
    ->ArgNames({"flows", "burst"})
    ->Args({1'000, 32})
    ->Args({100'000, 32})
    ->UseManualTime();
BENCHMARK_CAPTURE(relay, across, kAcross)
    ->ArgNames({"flows", "burst"})
    ->Args({1'000, 32})
    ->Args({100'000, 32})
    ->UseManualTime();

void counted(benchmark::State& state, Families families) {
  pool();
  Bench bench(1'000, families);
  for ([[maybe_unused]] auto _ : state) bench.burst(Relay::kBurst);
  if (!bench.complete()) state.SkipWithError("packets were dropped");
}
BENCHMARK_CAPTURE(counted, ipv4, kIpv4)->Iterations(kCountedBursts);
BENCHMARK_CAPTURE(counted, ipv6, kIpv6)->Iterations(kCountedBursts);
BENCHMARK_CAPTURE(counted, across, kAcross)->Iterations(kCountedBursts);

// What `counted` does before its bursts: the part that perf/instructions takes
// off.
void latched(benchmark::State& state, Families families) {
  pool();
  const Bench bench(1'000, families);
  for ([[maybe_unused]] auto _ : state) benchmark::ClobberMemory();
}
BENCHMARK_CAPTURE(latched, ipv4, kIpv4)->Iterations(1);
BENCHMARK_CAPTURE(latched, ipv6, kIpv6)->Iterations(1);
BENCHMARK_CAPTURE(latched, across, kAcross)->Iterations(1);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();

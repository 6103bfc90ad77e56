// SPDX-License-Identifier: BSD-3-Clause
// What a relayed RTP packet costs on one core without a NIC: bursts of 32 of random flows, both
// directions, statistics on, IPv4 header checksum verified in software.
//
// Only Relay::burst() is timed; the packets, 8,192 in flight so that they do not stay in the first
// cache, get their headers back in between. `counted` does a fixed amount for perf/instructions.

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

// Flow i: its party, and the local port that the party sends to. Flows 2k and 2k+1 are one path.
struct Flow {
  Endpoint party;
  Endpoint local;
  LocalPort port;
  std::uint16_t sequence = 0;
};

class Bench {
 public:
  explicit Bench(std::size_t flow_count)
      : link_(0, kMac, prefixes(flow_count), MediaAddressId{0}, {IpAddress::v4(10, 255, 255, 254)},
              rte_get_tsc_hz()),
        links_{&link_},
        flows_(links_, rte_get_tsc_hz()),
        host_(links_, pool(), stats_, rte_get_tsc_hz()),
        relay_(flows_, links_, host_, stats_) {
    const Tsc now{rte_rdtsc()};
    const IpAddress gateway = IpAddress::v4(10, 255, 255, 254);
    std::array<Solicitation, 64> requests;
    if (!link_.neighbors.resolve(gateway, now) || link_.neighbors.tick(now, requests) == 0 ||
        !link_.neighbors.learn(gateway, MacAddress{{2, 0, 0, 0, 0, 9}}, now)) {
      std::abort();
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

  static std::vector<Prefix> prefixes(std::size_t flow_count) {
    std::vector<Prefix> all;
    for (std::size_t i = 0; i * kFlowsPerAddress < flow_count; ++i) {
      all.push_back({IpAddress::v4(10, 255, 255, static_cast<std::uint8_t>(i + 1)), 24});
    }
    return all;
  }
  static Flow flow(std::size_t i) {
    const auto address = static_cast<std::uint8_t>(i / kFlowsPerAddress);
    const UdpPort port(static_cast<std::uint16_t>(kFirstPort + i % kFlowsPerAddress));
    return {.party = {IpAddress::v4(Be32(0x64400000U + static_cast<std::uint32_t>(i))),
                      UdpPort(static_cast<std::uint16_t>(5000 + i % 1000))},
            .local = {IpAddress::v4(10, 255, 255, static_cast<std::uint8_t>(address + 1)), port},
            .port = {MediaAddressId{address}, port}};
  }
  static Side side(const Flow& flow) {
    Side side;
    side.local = flow.port;
    side.remote = flow.party;
    side.hints = {flow.party.address};
    return side;
  }

  static void fill(rte_mbuf& packet, Flow& flow) {
    constexpr std::size_t kLength = kUdpHeaders + kPayload;
    rte_pktmbuf_reset(&packet);
    packet.data_len = kLength;
    packet.pkt_len = kLength;
    auto* const frame = rte_pktmbuf_mtod(&packet, std::byte*);
    const rte_ether_hdr ether{{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 9}}, RTE_BE16(0x0800)};
    rte_ipv4_hdr ip{};
    ip.version_ihl = RTE_IPV4_VHL_DEF;
    ip.total_length = rte_cpu_to_be_16(kLength - kEtherSize);
    ip.time_to_live = 60;
    ip.next_proto_id = IPPROTO_UDP;
    ip.src_addr = flow.party.address.as_v4().raw();
    ip.dst_addr = flow.local.address.as_v4().raw();
    ip.hdr_checksum = checksum(std::as_bytes(std::span(&ip, 1)));
    const rte_udp_hdr udp{flow.party.port.wire().raw(), flow.local.port.wire().raw(),
                          rte_cpu_to_be_16(kUdpSize + kPayload), 0x1234};
    const RtpHeader rtp{std::byte{0x80}, std::byte{0}, Be16(flow.sequence),
                        Be32(flow.sequence * 160U), Be32(0x1234)};
    ++flow.sequence;
    std::memcpy(frame, &ether, sizeof ether);
    std::memcpy(frame + kEtherSize, &ip, sizeof ip);
    std::memcpy(frame + kEtherSize + kIpv4Size, &udp, sizeof udp);
    std::memcpy(frame + kUdpHeaders, &rtp, sizeof rtp);
  }

  void send(std::span<rte_mbuf*> rx) {
    relay_.burst(0, rx, Tsc{rte_rdtsc()}, {&tx_, 1});
    tx_.clear();
  }

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

void relay(benchmark::State& state) {
  pool();
  Bench bench(static_cast<std::size_t>(state.range(0)));
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
BENCHMARK(relay)
    ->ArgNames({"flows", "burst"})
    ->Args({1'000, 32})
    ->Args({10'000, 32})
    ->Args({100'000, 32})
    ->Args({1'000, 4})
    ->Args({1'000, 1})
    ->UseManualTime();

void counted(benchmark::State& state) {
  pool();
  Bench bench(1'000);
  for ([[maybe_unused]] auto _ : state) bench.burst(Relay::kBurst);
  if (!bench.complete()) state.SkipWithError("packets were dropped");
}
BENCHMARK(counted)->Iterations(kCountedBursts);

// What `counted` does before its bursts: the part that perf/instructions takes off.
void latched(benchmark::State& state) {
  pool();
  const Bench bench(1'000);
  for ([[maybe_unused]] auto _ : state) benchmark::ClobberMemory();
}
BENCHMARK(latched)->Iterations(1);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();

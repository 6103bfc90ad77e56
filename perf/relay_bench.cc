// SPDX-License-Identifier: BSD-3-Clause
// Cost of relayed packets on one core without a NIC: random flows, both directions, statistics on,
// IPv4 header checksum verified in software.
//
//   relay    RTP of latched flows (hits): IPv4, IPv6 and across, by flows and burst
//   rtcp     one report per packet, parsed for its quality figures
//   miss     packets to ports without a flow: dropped
//   latch    each packet is the first of its flow
//   stranger RTP from addresses that are not hints: dropped. With 1 address and 1 policy entry
//            configured, and with 200 of each: the costs may differ by 5 % at most
//
// A lap of 8,192 packets is timed as a whole, then the headers of all packets are written back
// (traffic.h). `counted` runs a fixed number of laps for perf/checkperf.

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "dataplane/relay/relay.h"
#include "perf/environment.h"
#include "perf/traffic.h"

// callgrind starts to count here.
extern "C" [[gnu::noinline]] void millrace_begin_counting() { benchmark::ClobberMemory(); }

namespace millrace::perf {
namespace {

constexpr std::size_t kManyFlows = 2 * kInFlight;
constexpr int kCountedLaps = 12;

// One relay and its packets. Each Case fills the packets itself.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): members in order of initialisation
class Lane {
 public:
  explicit Lane(const TrafficKind& kind)
      : traffic(kind),
        share{0, kind.flows},
        pool_(make_pool(kInFlight)),
        host_(traffic.links(), pool_, stats_, rte_get_tsc_hz()),
        relay_(traffic.table(), traffic.links(), host_, {&tx_, 1}, stats_),
        packets_(kInFlight) {
    allocate();
  }
  // One per kind: setting up a million flows takes longer than the measurement.
  static Lane& of(const TrafficKind& kind) {
    using Key = std::tuple<std::size_t, Family, Family, Payload, std::size_t, std::size_t>;
    static std::map<Key, std::unique_ptr<Lane>> all;
    auto& lane = all[{kind.flows, kind.families.even, kind.families.odd, kind.payload,
                      kind.spare_addresses, kind.policy}];
    if (!lane) lane = std::make_unique<Lane>(kind);
    return *lane;
  }

  [[nodiscard]] std::span<rte_mbuf*> packets() { return packets_; }
  // Relays all packets. Returns the cycles it took.
  std::uint64_t lap(std::size_t burst) {
    const std::uint64_t start = rte_rdtsc_precise();
    for (std::size_t at = 0; at < packets_.size(); at += burst) {
      relay_.burst(0, packets().subspan(at, burst), Tsc{rte_rdtsc()});
      tx_.clear();
    }
    const std::uint64_t taken = rte_rdtsc_precise() - start;
    if (rte_mempool_avail_count(&pool_) >= kInFlight) allocate();  // the relay dropped all
    return taken;
  }
  [[nodiscard]] std::uint64_t relayed() const { return stats_.relayed.value(); }
  [[nodiscard]] std::uint64_t astray() const { return stats_.dropped(DropReason::port_inactive); }
  [[nodiscard]] std::uint64_t refused() const { return stats_.dropped(DropReason::wrong_source); }

  Traffic traffic;
  Share share;

 private:
  void allocate() {
    if (rte_pktmbuf_alloc_bulk(&pool_, packets_.data(), kInFlight) != 0) std::abort();
  }

  rte_mempool& pool_;
  WorkerStats stats_;
  Host host_;
  TxBatch tx_;
  Relay relay_;
  std::vector<rte_mbuf*> packets_;
};

// Random flows, all latched.
void hit(Lane& lane) { lane.traffic.fill(lane.packets(), lane.share); }

void astray(Lane& lane) {
  for (std::size_t i = 0; i < kInFlight; ++i) lane.traffic.fill_astray(*lane.packets()[i], i);
}

void strange(Lane& lane) {
  for (std::size_t i = 0; i < kInFlight; ++i) {
    lane.traffic.fill_stranger(*lane.packets()[i], i % lane.share.count);
  }
}

// The first packets of kInFlight flows, in mixed order.
void unlatched(Lane& lane) {
  for (std::size_t i = 0; i < kInFlight; i += 2) {
    lane.traffic.withdraw(i);
    lane.traffic.publish(i);
  }
  constexpr std::size_t kStride = 5003;  // prime to kInFlight
  for (std::size_t i = 0; i < kInFlight; ++i) {
    lane.traffic.fill(*lane.packets()[i], i * kStride % kInFlight);
  }
}

struct Case {
  Families families = kIpv4;
  Payload payload = Payload::rtp;
  void (*prepare)(Lane& lane) = hit;
  std::uint64_t (Lane::*count)() const = &Lane::relayed;  // the counter expected for all packets
  std::size_t configured = 0;                             // number of addresses, of policy entries

  [[nodiscard]] Lane& lane(std::size_t flows) const {
    return Lane::of({.flows = flows,
                     .families = families,
                     .payload = payload,
                     .spare_addresses = configured > 0 ? configured - 1 : 0,
                     .policy = configured});
  }
};
constexpr Case kRtp4{};
constexpr Case kRtp6{.families = kIpv6};
constexpr Case kRtpAcross{.families = kAcross};
constexpr Case kRtcp{.payload = Payload::rtcp};
constexpr Case kLatch{.prepare = unlatched};
constexpr Case kMiss{.prepare = astray, .count = &Lane::astray};
constexpr Case kStranger1{.prepare = strange, .count = &Lane::refused, .configured = 1};
constexpr Case kStranger200{.prepare = strange, .count = &Lane::refused, .configured = 200};

// Runs laps until `state` has enough. Reports the cycles of the median lap, which excludes laps
// during which the core was preempted.
void laps(benchmark::State& state, const Case& what) {
  Lane& lane = what.lane(static_cast<std::size_t>(state.range(0)));
  const auto burst = static_cast<std::size_t>(state.range(1));
  const std::uint64_t before = (lane.*what.count)();
  std::vector<std::uint64_t> cycles;
  millrace_begin_counting();
  for ([[maybe_unused]] auto _ : state) {
    what.prepare(lane);
    cycles.push_back(lane.lap(burst));
    const auto taken = static_cast<double>(cycles.back());
    state.SetIterationTime(taken / static_cast<double>(rte_get_tsc_hz()));
  }
  if ((lane.*what.count)() - before != cycles.size() * kInFlight) {
    state.SkipWithError("not all packets reached the counter of the case");
  }
  const auto middle = cycles.begin() + static_cast<std::ptrdiff_t>(cycles.size() / 2);
  std::ranges::nth_element(cycles, middle);
  state.counters["cycles/packet"] = static_cast<double>(*middle) / static_cast<double>(kInFlight);
  state.counters["packets"] = static_cast<double>(cycles.size() * kInFlight);
  state.counters["huge_mb"] = static_cast<double>(huge_bytes() >> 20);
}

void relay(benchmark::State& state, const Case& what) { laps(state, what); }
void by_flows_and_burst(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"flows", "burst"})->UseManualTime();
  for (const std::int64_t flows : {1'000, 10'000, 100'000, 1'000'000}) bench->Args({flows, 32});
  for (const std::int64_t burst : {8, 4, 1}) bench->Args({1'000, burst});
}
void by_flows(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"flows", "burst"})->UseManualTime()->Args({1'000, 32})->Args({100'000, 32});
}
BENCHMARK_CAPTURE(relay, ipv4, kRtp4)->Apply(by_flows_and_burst);
BENCHMARK_CAPTURE(relay, ipv6, kRtp6)->Apply(by_flows);
BENCHMARK_CAPTURE(relay, across, kRtpAcross)->Apply(by_flows);
BENCHMARK_CAPTURE(relay, rtcp, kRtcp)->Apply(by_flows);
void of_thousand(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"flows", "burst"})->UseManualTime()->Args({1'000, 32});
}
BENCHMARK_CAPTURE(relay, stranger_of_1, kStranger1)->Apply(of_thousand);
BENCHMARK_CAPTURE(relay, stranger_of_200, kStranger200)->Apply(of_thousand);
void once(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"flows", "burst"})->UseManualTime()->Args({kManyFlows, 32});
}
BENCHMARK_CAPTURE(relay, miss, kMiss)->Apply(once);
BENCHMARK_CAPTURE(relay, latch, kLatch)->Apply(once);

void counted(benchmark::State& state, const Case& what) { laps(state, what); }
void fixed(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"flows", "burst"})->UseManualTime()->Iterations(kCountedLaps);
}
void fixed_voice(benchmark::internal::Benchmark* bench) {
  bench->Apply(fixed)->Args({1'000, 32})->Args({1'000, 4});
}
void fixed_any(benchmark::internal::Benchmark* bench) { bench->Apply(fixed)->Args({1'000, 32}); }
void fixed_once(benchmark::internal::Benchmark* bench) {
  bench->Apply(fixed)->Args({kManyFlows, 32});
}
BENCHMARK_CAPTURE(counted, ipv4, kRtp4)->Apply(fixed_voice);
BENCHMARK_CAPTURE(counted, ipv6, kRtp6)->Apply(fixed_any);
BENCHMARK_CAPTURE(counted, across, kRtpAcross)->Apply(fixed_any);
BENCHMARK_CAPTURE(counted, rtcp, kRtcp)->Apply(fixed_any);
BENCHMARK_CAPTURE(counted, stranger_of_1, kStranger1)->Apply(fixed_any);
BENCHMARK_CAPTURE(counted, stranger_of_200, kStranger200)->Apply(fixed_any);
BENCHMARK_CAPTURE(counted, miss, kMiss)->Apply(fixed_once);
BENCHMARK_CAPTURE(counted, latch, kLatch)->Apply(fixed_once);

}  // namespace
}  // namespace millrace::perf

BENCHMARK_MAIN();

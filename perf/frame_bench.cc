// SPDX-License-Identifier: BSD-3-Clause
// classify() of frames in L1: the two relayed classes, and frames that fail early checks.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "dataplane/wire/frame.h"
#include "perf/environment.h"
#include "perf/traffic.h"

namespace millrace::perf {
namespace {

constexpr std::size_t kFrames = 32;
constexpr std::uint64_t kOwnMac = 0x0100'0000'0002;  // Traffic's NIC

using Frame = std::vector<std::byte>;

// One burst of packets, each modified by `change`.
template <typename Change>
std::vector<Frame> frames(Families families, Change&& change) {
  Traffic traffic({.flows = kFrames, .families = families});
  rte_mbuf* const packet = rte_pktmbuf_alloc(&make_pool(1));
  std::vector<Frame> all;
  for (std::size_t i = 0; i < kFrames; ++i) {
    traffic.fill(*packet, i);
    const auto* const data = rte_pktmbuf_mtod(packet, const std::byte*);
    Frame& frame = all.emplace_back(data, data + packet->data_len);
    change(frame);
  }
  return all;
}

void classify_all(benchmark::State& state, const std::vector<Frame>& all, FrameClass expected) {
  for (const Frame& frame : all) {
    if (classify(frame, kOwnMac, false) != expected) state.SkipWithError("unexpected frame class");
  }
  const std::uint64_t start = rte_rdtsc_precise();
  for ([[maybe_unused]] auto _ : state) {
    for (const Frame& frame : all) benchmark::DoNotOptimize(classify(frame, kOwnMac, false));
  }
  const auto cycles = static_cast<double>(rte_rdtsc_precise() - start);
  state.counters["cycles/packet"] = cycles / static_cast<double>(state.iterations()) / kFrames;
}

void udp(benchmark::State& state) {
  classify_all(state, frames(kIpv4, [](Frame&) {}), FrameKind::udp);
}
BENCHMARK(udp);

void udp6(benchmark::State& state) {
  classify_all(state, frames(kIpv6, [](Frame&) {}), FrameKind::udp6);
}
BENCHMARK(udp6);

void other_mac(benchmark::State& state) {
  classify_all(state, frames(kIpv4, [](Frame& frame) { frame[5] = std::byte{7}; }),
               DropReason::wrong_mac);
}
BENCHMARK(other_mac);

void vlan(benchmark::State& state) {
  const auto tag = [](Frame& frame) { frame[12] = std::byte{0x81}, frame[13] = std::byte{0}; };
  classify_all(state, frames(kIpv4, tag), DropReason::vlan_tagged);
}
BENCHMARK(vlan);

void wrong_checksum(benchmark::State& state) {
  const auto change = [](Frame& frame) { frame[kEtherSize + 10] ^= std::byte{1}; };
  classify_all(state, frames(kIpv4, change), DropReason::ip_checksum);
}
BENCHMARK(wrong_checksum);

}  // namespace
}  // namespace millrace::perf

BENCHMARK_MAIN();

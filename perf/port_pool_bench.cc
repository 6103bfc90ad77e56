// SPDX-License-Identifier: BSD-3-Clause
// Taking and returning a port pair, by one thread and by several, from a free pool and from one
// that is nearly exhausted.

#include <vector>

#include "control/ports/port_pool.h"
#include "perf/control_bench.h"

namespace millrace {
namespace {

PortPool& pool() {
  static PortPool made(bench::config().interfaces.at(0), std::chrono::seconds(0));
  return made;
}

void take_and_release(benchmark::State& state) {
  const auto now = PortPool::Clock::now();
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) {
    const PortPair pair = pool().take(now);
    if (!pair) return state.SkipWithError("no ports");
    benchmark::DoNotOptimize(pair.rtp());
    pool().give_back(pair);
  }
}
BENCHMARK(take_and_release)->ThreadRange(1, 4)->UseRealTime();

void take_of_one_address(benchmark::State& state) {
  const auto now = PortPool::Clock::now();
  const IpAddress address = bench::config().interfaces.at(0).addresses.back();
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) {
    const PortPair pair = pool().take(now, address);
    if (!pair) return state.SkipWithError("no ports");
    benchmark::DoNotOptimize(pair.rtp());
    pool().give_back(pair);
  }
}
BENCHMARK(take_of_one_address);

// All but 100 pairs are taken.
void take_of_few(benchmark::State& state) {
  const auto now = PortPool::Clock::now();
  std::vector<PortPair> taken;
  while (pool().free() > 200) {
    const PortPair pair = pool().take(now);
    if (!pair) return state.SkipWithError("no ports");
    taken.push_back(pair);
  }
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) {
    const PortPair pair = pool().take(now);
    if (!pair) return state.SkipWithError("no ports");
    benchmark::DoNotOptimize(pair.rtp());
    pool().give_back(pair);
  }
  for (const PortPair& pair : taken) pool().give_back(pair);
}
BENCHMARK(take_of_few);

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::bench::run(argc, argv); }

// SPDX-License-Identifier: BSD-3-Clause
// Flow lookup by a packet's destination address and port: the slot at [address][port] against bulk
// lookup in rte_hash. Both get the same random packets, 32 at a time, and read the first word of
// the flow's cache line.
//
// The hash has the same 6 bytes as key, padded to 8, CRC as hash function and a pointer to the
// flow's line as data. All lines of a burst are prefetched before the first is read. Both tables
// are in huge pages as far as the kernel has some.

#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_prefetch.h>

#include "dataplane/relay/local_addresses.h"
#include "perf/environment.h"
#include "perf/traffic.h"

namespace millrace::perf {
namespace {

constexpr std::size_t kBurst = 32;
constexpr std::size_t kPackets = 1 << 16;

// One per size: setting up a million flows takes longer than the measurement.
Traffic& of(std::size_t flows) {
  static std::map<std::size_t, std::unique_ptr<Traffic>> all;
  auto& traffic = all[flows];
  if (!traffic) traffic = std::make_unique<Traffic>(TrafficKind{.flows = flows});
  return *traffic;
}

struct Key {
  std::uint32_t address;
  std::uint16_t port;
  std::uint16_t zero = 0;
};
static_assert(sizeof(Key) == 8);

// The flows of the packets, the same for both tables.
std::vector<std::size_t> random_flows(std::size_t flows) {
  std::minstd_rand random{1};
  std::vector<std::size_t> order(kPackets);
  for (std::size_t& each : order) each = random() % flows;
  return order;
}

std::vector<Key> keys_of(const Traffic& traffic, std::size_t flows) {
  std::vector<Key> keys;
  for (const std::size_t i : random_flows(flows)) {
    const Flow flow = traffic.flow(i);
    keys.push_back({flow.local.address.as_v4().raw(), flow.local.port.number()});
  }
  return keys;
}

template <typename LookUp>
void measure(benchmark::State& state, const std::vector<Key>& keys, LookUp&& look_up) {
  std::size_t at = 0;
  const std::uint64_t start = rte_rdtsc_precise();
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(look_up(std::span(keys).subspan(at).template first<kBurst>()));
    at = (at + kBurst) % kPackets;
  }
  const auto cycles = static_cast<double>(rte_rdtsc_precise() - start);
  const auto packets = static_cast<double>(state.iterations()) * kBurst;
  state.counters["cycles/packet"] = cycles / packets;
}

void slots(benchmark::State& state) {
  const auto flows = static_cast<std::size_t>(state.range(0));
  Traffic& traffic = of(flows);
  const LocalAddresses<Family::ipv4> addresses(traffic.links(), 0, traffic.table());
  const auto index = addresses.index();
  measure(state, keys_of(traffic, flows), [&](std::span<const Key, kBurst> burst) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): filled below
    std::array<const Slot*, kBurst> found;
    for (std::size_t i = 0; i < kBurst; ++i) {
      Slot* slots = nullptr;
      if (!index.find(burst[i].address, slots)) std::abort();
      found[i] = slots + burst[i].port;
      rte_prefetch0(found[i]);
    }
    std::uint64_t sum = 0;
    for (const Slot* slot : found) sum += slot->rule.head.load(std::memory_order_relaxed);
    return sum;
  });
}

struct alignas(64) HashedFlow {
  std::uint64_t head = 0;
  std::array<std::uint64_t, 15> rest{};
};

void hash(benchmark::State& state) {
  const auto flows = static_cast<std::size_t>(state.range(0));
  const Traffic& traffic = of(flows);
  rte_hash_parameters parameters{};
  parameters.name = "flows";
  parameters.entries = static_cast<std::uint32_t>(flows + flows / 4 + 64);
  parameters.key_len = sizeof(Key);
  parameters.hash_func = rte_hash_crc;
  static const int heap = huge_heap(256UL << 20);
  parameters.socket_id = heap;
  const std::unique_ptr<rte_hash, decltype(&rte_hash_free)> table(rte_hash_create(&parameters),
                                                                  rte_hash_free);
  if (!table) return state.SkipWithError("no memory for the hash");
  auto* const memory = huge_slot_memory().allocate(flows * sizeof(HashedFlow));
  const std::unique_ptr<void, decltype(&std::free)> owner(memory, std::free);
  if (memory == nullptr) return state.SkipWithError("no memory for the flows");
  auto* const lines = static_cast<HashedFlow*>(memory);
  std::uninitialized_value_construct_n(lines, flows);
  for (std::size_t i = 0; i < flows; ++i) {
    const Flow flow = traffic.flow(i);
    const Key key{flow.local.address.as_v4().raw(), flow.local.port.number()};
    if (rte_hash_add_key_data(table.get(), &key, &lines[i]) != 0) {
      return state.SkipWithError("the hash is full");
    }
  }
  measure(state, keys_of(traffic, flows), [&](std::span<const Key, kBurst> burst) {
    // NOLINTBEGIN(cppcoreguidelines-pro-type-member-init): filled below
    std::array<const void*, kBurst> keys;
    std::array<void*, kBurst> found;
    // NOLINTEND(cppcoreguidelines-pro-type-member-init)
    for (std::size_t i = 0; i < kBurst; ++i) keys[i] = &burst[i];
    std::uint64_t hits = 0;
    rte_hash_lookup_bulk_data(table.get(), keys.data(), kBurst, &hits, found.data());
    for (void* line : found) rte_prefetch0(line);
    std::uint64_t sum = 0;
    for (void* line : found) sum += static_cast<const HashedFlow*>(line)->head;
    return sum + hits;
  });
}

void by_flows(benchmark::internal::Benchmark* bench) {
  bench->ArgName("flows");
  for (const std::int64_t flows : {1'000, 10'000, 100'000, 1'000'000}) bench->Arg(flows);
}
BENCHMARK(slots)->Apply(by_flows);
BENCHMARK(hash)->Apply(by_flows);

}  // namespace
}  // namespace millrace::perf

BENCHMARK_MAIN();

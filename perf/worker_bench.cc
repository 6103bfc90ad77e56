// SPDX-License-Identifier: BSD-3-Clause
// The workers' loop on net_ring: a NIC whose queues are rings, so that what a worker sends it
// receives next, 8,192 packets of 1,000 flows going round on each.
//
//   one       a worker
//   two       two workers, each with its own queue and flows
//   changes   a worker, while another thread publishes and withdraws 10,000 times a second
//
// A relayed packet is addressed to a party, so each must become a party's packet again before it
// comes back: when all have gone round once, a receive callback writes the headers of the whole
// ring. A lap is timed from the end of that to its next beginning, polls and all. The median lap
// counts: when the machine takes the core away, that is not the worker's doing.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <thread>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/pierce.h"
#include "dataplane/worker.h"
#include "perf/environment.h"
#include "perf/traffic.h"

namespace millrace::perf {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kFlowsEach = 1000;
constexpr unsigned kRingSlots = 2 * kInFlight;
constexpr std::chrono::milliseconds kWindow{200};
constexpr std::chrono::microseconds kChangePeriod{500};
constexpr int kChangesAPeriod = 5;  // 10,000 a second

// One queue of the NIC and the packets that go round on it.
class Round {
 public:
  Round(Traffic& traffic, std::size_t number)
      : traffic_(traffic), share_{number * kFlowsEach, kFlowsEach} {
    const std::string name = "round" + std::to_string(number);
    ring = rte_ring_create(name.c_str(), kRingSlots, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    std::vector<rte_mbuf*> packets(kInFlight);
    if (ring == nullptr ||
        rte_pktmbuf_alloc_bulk(&make_pool(kInFlight), packets.data(), kInFlight) != 0) {
      throw std::runtime_error("no memory for a ring of packets");
    }
    put_back(packets);
  }
  // What a worker receives, seen first. Runs on its thread.
  static std::uint16_t received(std::uint16_t, std::uint16_t, rte_mbuf** packets,
                                std::uint16_t count, std::uint16_t, void* self) {
    static_cast<Round*>(self)->renew(std::span(packets, count));
    return count;
  }
  // Laps are timed from now on. Precondition: its worker stands still.
  void begin() {
    laps_.clear();
    since_ = 0;
    lap_start_ = 0;
  }
  // Of all laps since then: the median's cycles per packet.
  [[nodiscard]] double cycles_per_packet() {
    if (laps_.empty()) return 0;
    const auto middle = laps_.begin() + static_cast<std::ptrdiff_t>(laps_.size() / 2);
    std::ranges::nth_element(laps_, middle);
    return static_cast<double>(*middle) / static_cast<double>(kInFlight);
  }

  rte_ring* ring = nullptr;

 private:
  void put_back(std::span<rte_mbuf* const> packets) {
    traffic_.fill(packets, share_);
    rte_ring_enqueue_bulk(ring, reinterpret_cast<void* const*>(packets.data()),
                          static_cast<unsigned>(packets.size()), nullptr);
  }
  void renew(std::span<rte_mbuf* const> in_hand) {
    if (since_ + in_hand.size() <= kInFlight && lap_start_ != 0) {
      since_ += in_hand.size();
      return;
    }
    // Those in hand are of the next lap: as many are on the ring as the lap was long.
    const std::uint64_t end = rte_rdtsc_precise();
    if (lap_start_ != 0) laps_.push_back((end - lap_start_) * kInFlight / since_);
    std::array<rte_mbuf*, kInFlight> rest;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    const unsigned count =
        rte_ring_dequeue_burst(ring, reinterpret_cast<void**>(rest.data()), rest.size(), nullptr);
    traffic_.fill(in_hand, share_);
    put_back(std::span(rest).first(count));
    since_ = in_hand.size();
    lap_start_ = rte_rdtsc_precise();
  }

  Traffic& traffic_;
  Share share_;
  std::size_t since_ = 0;        // packets received in this lap
  std::uint64_t lap_start_ = 0;  // 0: none has begun
  std::vector<std::uint64_t> laps_;
};

std::uint16_t open_port(std::deque<Round>& rounds) {
  std::vector<rte_ring*> rings;
  rings.reserve(rounds.size());
  for (const Round& round : rounds) rings.push_back(round.ring);
  const auto queues = static_cast<std::uint16_t>(rings.size());
  const int id = rte_eth_from_rings("loop", rings.data(), queues, rings.data(), queues, 0);
  if (id < 0) throw std::runtime_error("no net_ring port");
  const auto port = static_cast<std::uint16_t>(id);
  const rte_eth_conf conf{};
  bool ok = rte_eth_dev_configure(port, queues, queues, &conf) == 0;
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    ok = ok && rte_eth_rx_queue_setup(port, queue, 1024, 0, nullptr, &make_pool(1)) == 0 &&
         rte_eth_tx_queue_setup(port, queue, 1024, 0, nullptr) == 0 &&
         rte_eth_add_rx_callback(port, queue, Round::received, &rounds[queue]) != nullptr;
  }
  if (!ok || rte_eth_dev_start(port) != 0) throw std::runtime_error("the net_ring port is no good");
  return port;
}

class Loop {
 public:
  Loop() : traffic({.flows = worker_cores() * kFlowsEach}) {
    for (std::size_t i = 0; i < worker_cores(); ++i) rounds_.emplace_back(traffic, i);
    const EthPortId port{open_port(rounds_)};
    const auto workers = static_cast<std::uint16_t>(worker_cores());
    for (std::uint16_t i = 0; i < workers; ++i) {
      workers_.emplace_back(Worker::Duty{.queue = i}, std::vector{port}, traffic.links(),
                            traffic.table(), pierce_, own_packets_, stop_, rte_get_tsc_hz());
    }
  }
  static Loop& get() {
    static Loop loop;
    return loop;
  }

  // Has the first `count` workers run while `meanwhile` does: the cycles per packet of each.
  template <typename F>
  std::vector<double> run(std::size_t count, F&& meanwhile) {
    stop_.store(false);
    for (unsigned i = 0; i < count; ++i) {
      rounds_[i].begin();
      if (!workers_[i].launch(lcore_of_worker(i))) std::abort();
    }
    meanwhile();
    stop_.store(true);
    rte_eal_mp_wait_lcore();
    std::vector<double> cycles;
    cycles.reserve(count);
    for (std::size_t i = 0; i < count; ++i) cycles.push_back(rounds_[i].cycles_per_packet());
    return cycles;
  }
  [[nodiscard]] bool complete() const {
    return std::ranges::all_of(workers_, [](const Worker& worker) {
      return worker.stats().relayed.value() == worker.stats().rx_packets.value() &&
             worker.stats().tx_packets.value() == worker.stats().rx_packets.value();
    });
  }

  Traffic traffic;

 private:
  std::deque<Round> rounds_;
  rte_mempool& own_packets_ = make_pool(64);
  Pierce pierce_{traffic.table(), traffic.links(), own_packets_};
  std::atomic<bool> stop_{true};
  std::deque<Worker> workers_;
};

void rest() { std::this_thread::sleep_for(kWindow); }

// New paths come, old ones go, one in five is a re-offer of a call whose media flows.
void change_flows() {
  Traffic& traffic = Loop::get().traffic;
  static std::size_t turn = 0;
  const Clock::time_point end = Clock::now() + kWindow;
  for (Clock::time_point due = Clock::now(); due < end; due += kChangePeriod) {
    std::this_thread::sleep_until(due);
    for (int i = 0; i < kChangesAPeriod; ++i, ++turn) {
      const Path path = traffic.spare_path(turn / 5);
      switch (turn % 5) {
        case 0:
          traffic.table().publish(path, Tsc{rte_rdtsc()});
          break;
        case 1:
          traffic.publish(turn / 5 * 2 % kFlowsEach);
          break;
        case 2:
          traffic.table().publish(path, Tsc{rte_rdtsc()});  // the answer
          break;
        case 3:
          traffic.table().withdraw(path.a.local);
          break;
        default:
          traffic.table().withdraw(path.b.local);
      }
    }
  }
}

void worker(benchmark::State& state, std::size_t count, void (*meanwhile)()) {
  if (count > worker_cores()) return state.SkipWithError("needs two cores");
  Loop& loop = Loop::get();
  const auto hz = static_cast<double>(rte_get_tsc_hz());
  double cycles = 0;
  double rate = 0;
  for ([[maybe_unused]] auto _ : state) {
    for (const double each : loop.run(count, meanwhile)) {
      cycles += each / static_cast<double>(count);
      rate += hz / each;
    }
    state.SetIterationTime(std::chrono::duration<double>(kWindow).count());
  }
  if (!loop.complete()) state.SkipWithError("packets were dropped");
  state.counters["cycles/packet"] = cycles / static_cast<double>(state.iterations());
  state.counters["packets/s"] = rate / static_cast<double>(state.iterations());
}
void windows(benchmark::internal::Benchmark* bench) { bench->Iterations(1)->UseManualTime(); }
BENCHMARK_CAPTURE(worker, one, 1, rest)->Apply(windows);
BENCHMARK_CAPTURE(worker, two, 2, rest)->Apply(windows);
BENCHMARK_CAPTURE(worker, changes, 1, change_flows)->Apply(windows);

}  // namespace
}  // namespace millrace::perf

BENCHMARK_MAIN();

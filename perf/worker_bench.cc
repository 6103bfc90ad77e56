// SPDX-License-Identifier: BSD-3-Clause
// The worker loop on net_ring: RX and TX queue of the NIC are one ring, so a worker receives the
// packets that it sent. 8,192 packets of 1,000 flows circulate on each ring.
//
//   one       one worker
//   two       two workers, each with its own NIC and flows
//   apart     one worker in each of two processes at the same time: the machine's limit for two
//             cores that share nothing
//   changes   one worker, while another thread publishes and withdraws 10,000 times per second
//
// A relayed packet is addressed to a party and must become a party's packet again before it is
// received. After each lap an RX callback rewrites the headers of the whole ring. A lap is timed
// from the end of a rewrite to the start of the next, polls included. The median lap counts, which
// excludes laps during which the core was preempted.

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <deque>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "dataplane/device/worker.h"
#include "dataplane/relay/nat_punch.h"
#include "perf/environment.h"
#include "perf/traffic.h"

namespace millrace::perf {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kFlowsEach = 1000;
constexpr unsigned kRingSlots = 2 * kInFlight;
constexpr std::chrono::milliseconds kWindow{200};
constexpr std::chrono::microseconds kChangePeriod{500};
constexpr int kChangesPerPeriod = 5;  // 10,000 per second

// One queue of the NIC and the packets that circulate on it.
class alignas(64) Round {
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
  // RX callback. Runs on the worker's thread.
  static std::uint16_t received(std::uint16_t, std::uint16_t, rte_mbuf** packets,
                                std::uint16_t count, std::uint16_t, void* self) {
    static_cast<Round*>(self)->renew(std::span(packets, count));
    return count;
  }
  // Starts timing laps. Precondition: the worker is stopped.
  void begin() {
    laps_.clear();
    since_ = 0;
    lap_start_ = 0;
  }
  // Cycles per packet of the median lap since begin().
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
    // The packets in hand belong to the next lap. The finished lap had `since_` packets.
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

// One port per worker: queues of one net_ring port share a cache line of counters.
EthPortId open_port(Round& round, std::size_t number) {
  const std::string name = "loop" + std::to_string(number);
  const int id = rte_eth_from_rings(name.c_str(), &round.ring, 1, &round.ring, 1, 0);
  if (id < 0) throw std::runtime_error("no net_ring port");
  const auto port = static_cast<std::uint16_t>(id);
  const rte_eth_conf conf{};
  if (rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
      rte_eth_rx_queue_setup(port, 0, 1024, 0, nullptr, &make_pool(1)) != 0 ||
      rte_eth_tx_queue_setup(port, 0, 1024, 0, nullptr) != 0 ||
      rte_eth_add_rx_callback(port, 0, Round::received, &round) == nullptr ||
      rte_eth_dev_start(port) != 0) {
    throw std::runtime_error("cannot configure the net_ring port");
  }
  return EthPortId{port};
}

class Loop {
 public:
  Loop() : traffic({.flows = worker_cores() * kFlowsEach}) {
    for (std::size_t i = 0; i < worker_cores(); ++i) {
      Round& round = rounds_.emplace_back(traffic, i);
      workers_.emplace_back(Worker::Config{}, std::vector{open_port(round, i)}, traffic.links(),
                            traffic.table(), nat_punch_, own_packets_, stop_, rte_get_tsc_hz());
    }
  }
  static Loop& get() {
    static Loop loop;
    return loop;
  }

  // Runs workers `first` to `last` until `meanwhile` returns. Returns each one's cycles per packet.
  template <typename F>
  std::vector<double> run(unsigned first, unsigned last, F&& meanwhile) {
    stop_.store(false);
    for (unsigned i = first; i <= last; ++i) {
      rounds_[i].begin();
      if (!workers_[i].launch(lcore_of_worker(i))) std::abort();
    }
    meanwhile();
    stop_.store(true);
    rte_eal_mp_wait_lcore();
    std::vector<double> cycles;
    for (unsigned i = first; i <= last; ++i) cycles.push_back(rounds_[i].cycles_per_packet());
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
  NatPunch nat_punch_{traffic.table(), traffic.links(), own_packets_};
  std::atomic<bool> stop_{true};
  std::deque<Worker> workers_;
};

void rest() { std::this_thread::sleep_for(kWindow); }

// A second process of this program with its own EAL, flows and packets. Runs its second worker on
// request. Forked before EAL starts; exits with this process.
class Twin {
 public:
  Twin() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail();
    pid_ = fork();
    if (pid_ < 0) fail();
    const std::size_t own = pid_ == 0 ? 1 : 0;
    wire_ = ends.at(own);
    close(ends.at(1 - own));
    if (pid_ == 0) serve();
  }
  static Twin& get() {
    static Twin twin;
    return twin;
  }
  Twin(const Twin&) = delete;
  Twin& operator=(const Twin&) = delete;
  ~Twin() {
    close(wire_);
    waitpid(pid_, nullptr, 0);
  }

  // Starts a run of length `window`. Call answer() before the next run().
  void run(std::chrono::milliseconds window) { send(window); }
  // Waits for the run to end. Returns its cycles per packet, or 0 if it dropped packets.
  [[nodiscard]] double answer() {
    double cycles = 0;
    if (read(wire_, &cycles, sizeof cycles) != sizeof cycles) {
      throw std::runtime_error("the second process has exited");
    }
    return cycles;
  }

 private:
  [[noreturn]] static void fail() { throw std::system_error(errno, std::generic_category()); }
  template <typename T>
  void send(const T& value) const {
    if (write(wire_, &value, sizeof value) != sizeof value) fail();
  }
  [[noreturn]] void serve() const {
    std::chrono::milliseconds window{};
    while (read(wire_, &window, sizeof window) == sizeof window) {
      Loop& loop = Loop::get();
      const auto cycles = loop.run(1, 1, [&] { std::this_thread::sleep_for(window); });
      send(loop.complete() ? cycles.front() : 0.0);
    }
    _exit(0);
  }

  pid_t pid_ = 0;
  int wire_ = -1;
};

// Publishes new paths and withdraws old ones. One change in five is a re-offer of a path in use.
void change_flows() {
  Traffic& traffic = Loop::get().traffic;
  static std::size_t turn = 0;
  const Clock::time_point end = Clock::now() + kWindow;
  for (Clock::time_point due = Clock::now(); due < end; due += kChangePeriod) {
    std::this_thread::sleep_until(due);
    for (int i = 0; i < kChangesPerPeriod; ++i, ++turn) {
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

void report(benchmark::State& state, std::span<const double> cycles_per_packet) {
  double cycles = 0;
  double rate = 0;
  for (const double each : cycles_per_packet) {
    cycles += each / static_cast<double>(cycles_per_packet.size());
    rate += static_cast<double>(rte_get_tsc_hz()) / each;
  }
  if (!Loop::get().complete()) state.SkipWithError("packets were dropped");
  state.SetIterationTime(std::chrono::duration<double>(kWindow).count());
  state.counters["cycles/packet"] = cycles;
  state.counters["packets/s"] = rate;
}

void worker(benchmark::State& state, unsigned count, void (*meanwhile)()) {
  if (count > worker_cores()) return state.SkipWithError("needs two cores");
  for ([[maybe_unused]] auto _ : state) report(state, Loop::get().run(0, count - 1, meanwhile));
}

void apart(benchmark::State& state) {
  if (worker_cores() < 2) return state.SkipWithError("needs two cores");
  Loop& loop = Loop::get();
  Twin& twin = Twin::get();
  twin.run({});  // waits for its start
  (void)twin.answer();
  for ([[maybe_unused]] auto _ : state) {
    twin.run(kWindow);
    const double own = loop.run(0, 0, rest).front();
    const double other = twin.answer();
    if (other == 0) {
      state.SkipWithError("the second process dropped packets");
      break;
    }
    report(state, std::array{own, other});
  }
}

// Each repetition is one window, so that cases alternate.
void windows(benchmark::internal::Benchmark* bench) { bench->Iterations(1)->UseManualTime(); }
BENCHMARK_CAPTURE(worker, one, 1, rest)->Apply(windows);
BENCHMARK_CAPTURE(worker, two, 2, rest)->Apply(windows);
BENCHMARK(apart)->Name("worker/apart")->Apply(windows);
BENCHMARK_CAPTURE(worker, changes, 1, change_flows)->Apply(windows);

}  // namespace
}  // namespace millrace::perf

int main(int argc, char** argv) try {
  (void)millrace::perf::Twin::get();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
} catch (const std::exception& error) {
  std::fprintf(stderr, "worker_bench: %s\n", error.what());
  return 1;
}

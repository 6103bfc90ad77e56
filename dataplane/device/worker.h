// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The loop of one polling core.
//
// A worker owns one queue pair of every port, so it shares nothing with its siblings but the flow
// slots and neighbours. A round polls each port once: a burst goes through the relay and what came
// of it is sent at once. The time stamp counter is read once a poll; its ticks are busy if packets
// came, else idle.
// Without packets for kHot the worker rests between rounds: it naps, twice as long each time up to
// the configured limit, or only relaxes the core if it is to poll always. The first worker also
// does the host's housekeeping.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/device/ethdev.h"
#include "dataplane/host/host.h"
#include "dataplane/host/tx_batch.h"
#include "dataplane/relay/nat_punch.h"
#include "dataplane/relay/relay.h"
#include "dataplane/stats.h"
#include "dataplane/tsc.h"

namespace millrace {

class Worker {
 public:
  static constexpr std::chrono::microseconds kHot{200};

  struct Config {
    std::uint16_t queue = 0;                // of every port
    std::chrono::microseconds max_sleep{};  // 0 = always poll
    bool housekeeping = false;
  };

  // `ports` are the NICs in the order of the links' numbers for them. What is passed by reference
  // outlives it.
  Worker(const Config& config, std::vector<EthPortId> ports, std::span<Link* const> links,
         FlowTable& flows, NatPunch& nat_punch, rte_mempool& pool, const std::atomic<bool>& stop,
         std::uint64_t tsc_hz);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();  // waits for its end. Precondition: `stop` is set

  // Starts polling on an lcore, until `stop`. False if the lcore is busy.
  [[nodiscard]] bool launch(unsigned lcore);

  [[nodiscard]] const WorkerStats& stats() const { return stats_; }

 private:
  void run();
  bool poll(std::size_t nic);
  void housekeep();
  void send_kept();
  void flush();
  void rest();
  std::uint64_t lap();

  WorkerStats stats_;
  const std::atomic<bool>& stop_;
  std::atomic<bool> running_{false};
  Config config_;
  std::vector<EthPortId> ports_;
  Host host_;
  NatPunch& nat_punch_;
  std::vector<TxBatch> tx_;  // by NIC
  Relay relay_;
  std::uint64_t hot_ticks_;
  Tsc now_;          // when the current poll began
  Tsc last_packet_;  // when packets came last
  std::chrono::nanoseconds nap_{};
};

}  // namespace millrace

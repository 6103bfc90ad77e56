// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The poll loop of one worker core.
//
// A worker owns one queue pair of every port. It shares only flow slots and neighbor entries with
// other workers. A round polls each port once, relays the burst and flushes the TX batches. The
// time stamp counter is read once per poll. Its ticks count as busy if packets were received, else
// idle. After kSpinTime without packets, the worker sleeps between rounds. The sleep time doubles
// up to Config::max_sleep. If that is 0, it executes PAUSE instead and polls on. The first worker
// also runs the host's housekeeping.

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
  static constexpr std::chrono::microseconds kSpinTime{200};

  struct Config {
    std::uint16_t queue = 0;                // queue id on every port
    std::chrono::microseconds max_sleep{};  // 0 = always poll
    bool housekeeping = false;
  };

  // `ports` in the order of the links' NIC indexes. Precondition: arguments passed by reference
  // outlive the worker.
  Worker(const Config& config, std::vector<EthPortId> ports, std::span<Link* const> links,
         FlowTable& flows, NatPunch& nat_punch, rte_mempool& pool, const std::atomic<bool>& stop,
         std::uint64_t tsc_hz);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();  // waits until run() has returned. Precondition: `stop` is set

  // Polls on an lcore until `stop` is set. False if the lcore is busy.
  [[nodiscard]] bool launch(unsigned lcore);

  [[nodiscard]] const WorkerStats& stats() const { return stats_; }

 private:
  void run();
  bool poll(std::size_t nic);
  void housekeep();
  void send_kept();
  void flush();
  void idle();
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
  std::uint64_t spin_ticks_;
  Tsc now_;          // start of the current poll
  Tsc last_packet_;  // time of the last packet
  std::chrono::nanoseconds sleep_{};
};

}  // namespace millrace

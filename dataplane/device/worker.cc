// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/worker.h"

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

namespace millrace {

Worker::Worker(const Config& config, std::vector<EthPortId> ports, std::span<Link* const> links,
               FlowTable& flows, NatPunch& nat_punch, rte_mempool& pool,
               const std::atomic<bool>& stop, std::uint64_t tsc_hz)
    : stop_(stop),
      config_(config),
      ports_(std::move(ports)),
      host_(links, pool, stats_, tsc_hz),
      nat_punch_(nat_punch),
      tx_(ports_.size()),
      relay_(flows, links, host_, tx_, stats_),
      spin_ticks_(tsc_hz / std::micro::den * static_cast<std::uint64_t>(kSpinTime.count())) {}

Worker::~Worker() {
  while (running_.load(std::memory_order_acquire)) std::this_thread::yield();
}

bool Worker::launch(unsigned lcore) {
  const auto work = [](void* argument) {
    auto& worker = *static_cast<Worker*>(argument);
    worker.run();
    worker.running_.store(false, std::memory_order_release);
    return 0;
  };
  running_.store(true, std::memory_order_relaxed);
  const bool launched = rte_eal_remote_launch(work, this, lcore) == 0;
  if (!launched) running_.store(false, std::memory_order_relaxed);
  return launched;
}

void Worker::run() {
  // Set timer slack to 1 ns: the default 50 us would stretch every sleep.
  prctl(PR_SET_TIMERSLACK, 1UL);
  now_ = last_packet_ = Tsc{rte_rdtsc()};
  while (!stop_.load(std::memory_order_relaxed)) {
    bool busy = false;
    for (std::size_t nic = 0; nic < ports_.size(); ++nic) busy |= poll(nic);
    if (config_.housekeeping) housekeep();
    if (relay_.keeps()) send_kept();
    if (!busy) idle();
  }
}

// Ticks since the last call, which is the start of the current poll.
std::uint64_t Worker::lap() {
  const Tsc before = std::exchange(now_, Tsc{rte_rdtsc()});
  return elapsed(before, now_);
}

bool Worker::poll(std::size_t nic) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): rx fills it, zeroing would cost every
  // poll
  std::array<rte_mbuf*, Relay::kBurst> packets;
  const std::uint16_t count = rte_eth_rx_burst(std::to_underlying(ports_[nic]), config_.queue,
                                               packets.data(), packets.size());
  stats_.bursts[count].add(1);
  if (count == 0) {
    stats_.idle_cycles.add(lap());
    return false;
  }
  relay_.burst(nic, std::span(packets).first(count), now_);
  flush();
  stats_.busy_cycles.add(lap());
  last_packet_ = now_;
  return true;
}

void Worker::housekeep() {
  host_.housekeep(now_, tx_);
  flush();
  if (!nat_punch_.due(now_)) return;
  nat_punch_.send_due(now_, tx_, stats_);
  flush();
}

void Worker::send_kept() {
  relay_.send_kept(now_);
  flush();
}

void Worker::flush() {
  for (std::size_t nic = 0; nic < ports_.size(); ++nic) {
    TxBatch& batch = tx_[nic];
    if (batch.count == 0) continue;
    const std::uint16_t sent =
        rte_eth_tx_burst(std::to_underlying(ports_[nic]), config_.queue, batch.packets.data(),
                         static_cast<std::uint16_t>(batch.count));
    const auto unsent = std::span(batch.packets).first(batch.count).subspan(sent);
    for (const rte_mbuf* packet : unsent) batch.bytes -= packet->pkt_len;
    if (!unsent.empty()) {
      rte_pktmbuf_free_bulk(unsent.data(), static_cast<unsigned>(unsent.size()));
      stats_.drop(DropReason::tx_full, unsent.size());
    }
    stats_.tx_packets.add(sent);
    stats_.tx_bytes.add(batch.bytes);
    batch.clear();
  }
}

void Worker::idle() {
  if (elapsed(last_packet_, now_) < spin_ticks_) {
    sleep_ = std::chrono::microseconds(1);
    return;
  }
  if (config_.max_sleep.count() == 0) {
    rte_pause();
    return;
  }
  sleep_ = std::min<std::chrono::nanoseconds>(sleep_ * 2, config_.max_sleep);
  std::this_thread::sleep_for(sleep_);
  stats_.idle_cycles.add(lap());
}

}  // namespace millrace

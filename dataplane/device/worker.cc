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
      hot_ticks_(tsc_hz / std::micro::den * static_cast<std::uint64_t>(kHot.count())) {}

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
  // Naps are to last what was asked, not the kernel's 50 microseconds more.
  prctl(PR_SET_TIMERSLACK, 1UL);
  now_ = last_packet_ = Tsc{rte_rdtsc()};
  while (!stop_.load(std::memory_order_relaxed)) {
    bool busy = false;
    for (std::size_t nic = 0; nic < ports_.size(); ++nic) busy |= poll(nic);
    if (config_.housekeeping) housekeep();
    if (relay_.keeps()) send_kept();
    if (!busy) rest();
  }
}

// Ticks since the last call. The end of one lap is the beginning of the next.
std::uint64_t Worker::lap() {
  const Tsc before = std::exchange(now_, Tsc{rte_rdtsc()});
  return elapsed(before, now_);
}

bool Worker::poll(std::size_t nic) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): rx fills it, clearing costs every poll
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

void Worker::rest() {
  if (elapsed(last_packet_, now_) < hot_ticks_) {
    nap_ = std::chrono::microseconds(1);
    return;
  }
  if (config_.max_sleep.count() == 0) {
    rte_pause();
    return;
  }
  nap_ = std::min<std::chrono::nanoseconds>(nap_ * 2, config_.max_sleep);
  std::this_thread::sleep_for(nap_);
  stats_.idle_cycles.add(lap());
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// NAT hole punching: sends packets towards a party before its first packet arrives, so that NATs
// and firewalls on the way let its packets in (Side::nat_punch; rtpengine's flag `pierce-NAT`).
//
// Theory of operation. Signalling publishes the path, then adds the port. The housekeeping worker
// scans part of the ports about once per millisecond and sends packets that the party must ignore:
// to RTP ports an RTP header without payload, of a payload type that is not negotiated (RFC 6263
// section 4.6), to RTCP ports a receiver report without blocks. Destination, next hop and DSCP come
// from the other side's slot at that moment, as for relayed packets, so a hold, a withdrawal or a
// new address takes effect at once. An attempt that cannot be sent is skipped, not repeated.
//   Schedule: kAttempts per port at 0, 20, 60, 140, 300, 620, 1260 and 2540 ms (kFirstPause, then
//   doubled). It stops at the first admitted packet on either port of the pair. add() during a
//   schedule has no effect; after it, e.g. by an answer after long ringing, the schedule restarts.
//   Limits: kCapacity ports; excess is counted as DropReason::pierce_full. kMaxPerRound packets per
//   call of send_due(), however many offers arrive.
// Ports are in a hash table of words. Signalling claims an empty word by compare-exchange and only
// the worker clears it: no lock, no allocation.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/flow/flow_table.h"
#include "dataplane/host/link.h"
#include "dataplane/host/tx_batch.h"
#include "dataplane/stats.h"
#include "dataplane/tsc.h"

struct rte_mempool;

namespace millrace {

class NatPunch {
 public:
  static constexpr std::size_t kCapacity = 8192;
  static constexpr unsigned kAttempts = 8;
  static constexpr std::chrono::milliseconds kFirstPause{20};
  static constexpr std::size_t kMaxPerRound = 16;
  static_assert(kMaxPerRound <= TxBatch::kCapacity);

  // `links` in the order of their indexes. Packets come from `pool`. All outlive this object.
  NatPunch(FlowTable& flows, std::span<Link* const> links, rte_mempool& pool);

  // Adds the port of a side that was published with `nat_punch`. Called by any control thread, but
  // for one port by one thread at a time.
  void add(SlotIndex port);

  // ---- one worker --------------------------------------------------------------------------
  [[nodiscard]] bool due(Tsc now) const {
    return now >= next_round_ && (waiting_.load(std::memory_order_relaxed) != 0 ||
                                  refused_.load(std::memory_order_relaxed) != 0);
  }
  // Precondition: `tx` has one batch per NIC, all empty.
  void send_due(Tsc now, std::span<TxBatch> tx, WorkerStats& stats);

 private:
  struct Progress {
    unsigned attempts = 0;
    Tsc next;
  };

  [[nodiscard]] bool awaits_packets(SlotIndex port) const;
  bool send(SlotIndex port, unsigned sequence, Tsc now, std::span<TxBatch> tx, WorkerStats& stats);
  void release(std::size_t at);

  FlowTable& flows_;
  std::vector<Link*> links_;
  rte_mempool& pool_;
  std::uint64_t round_pause_, first_pause_;                    // ticks
  std::atomic<std::size_t> waiting_{0};                        // claimed words
  std::atomic<std::uint64_t> refused_{0};                      // not yet in the worker's statistics
  std::array<std::atomic<std::uint32_t>, kCapacity> ports_{};  // SlotIndex; 0 = empty

  // Accessed by the worker only:
  Tsc next_round_;
  std::size_t hand_ = 0;  // where the next round starts
  std::array<Progress, kCapacity> progress_{};
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Packets of the relay's own to who has not been heard yet, so that the NATs and firewalls on the
// way let the party's packets in (Side::nat_punch; the flag `pierce-NAT` of rtpengine).
//
// Theory of operation. Signalling adds the port of such a side after it has published its path. The
// worker that does the housekeeping visits the ports in turn, a part of them about once a
// millisecond, and sends from each port what the party that was given it must ignore: to the port
// of RTP an RTP header without payload, of a type that nobody negotiated (RFC 6263 section 4.6), to
// that of RTCP a receiver report about nobody. Where to, by which next hop and with which DSCP is
// what the slot of the other side says at that moment, as for packets that are relayed to the
// party; so a hold, a withdrawal or a new address count at once. A turn in which nothing can be
// sent is passed over.
//   Law: kTurns packets; kFirstPause after the first, and each pause twice as long as the one
//   before: at 0, 20, 60, 140, 300, 620, 1260 and 2540 ms. It ends with the first packet that is
//   admitted from the party at either port of the pair. A port that is added once more while its
//   turns go on changes nothing; afterwards, as by an answer after long ringing, they begin again.
//   Bounds: kCapacity ports, and past them a refusal that is counted (DropReason::pierce_full);
//   kMostAtOnce packets at a look. A flood of offers cannot make more than that.
// Ports stand in a table of words by their hash. Signalling claims an empty word by one
// compare-exchange, the worker alone empties it: nothing is locked, nothing allocated.

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
  static constexpr unsigned kTurns = 8;
  static constexpr std::chrono::milliseconds kFirstPause{20};
  static constexpr std::size_t kMostAtOnce = 16;
  static_assert(kMostAtOnce <= TxBatch::kCapacity);

  // `links` in the order of their indexes; `pool` gives the packets. All outlive it.
  NatPunch(FlowTable& flows, std::span<Link* const> links, rte_mempool& pool);

  // The port of a side that was published with `nat_punch`. Any control thread, a port by one at
  // once.
  void add(SlotIndex port);

  // ---- one worker --------------------------------------------------------------------------
  [[nodiscard]] bool due(Tsc now) const {
    return now >= next_look_ && (waiting_.load(std::memory_order_relaxed) != 0 ||
                                 refused_.load(std::memory_order_relaxed) != 0);
  }
  // Precondition: `tx` has one batch a NIC, and they are empty.
  void look(Tsc now, std::span<TxBatch> tx, WorkerStats& stats);

 private:
  struct Turns {
    unsigned taken = 0;
    Tsc next;
  };

  [[nodiscard]] bool awaits_packets(SlotIndex port) const;
  bool send(SlotIndex port, unsigned turn, Tsc now, std::span<TxBatch> tx, WorkerStats& stats);
  void release(std::size_t at);

  FlowTable& flows_;
  std::vector<Link*> links_;
  rte_mempool& pool_;
  std::uint64_t look_pause_, first_pause_;                     // ticks
  std::atomic<std::size_t> waiting_{0};                        // words that are claimed
  std::atomic<std::uint64_t> refused_{0};                      // not told by the worker yet
  std::array<std::atomic<std::uint32_t>, kCapacity> ports_{};  // SlotIndex; 0 = empty

  // The worker's own:
  Tsc next_look_;
  std::size_t hand_ = 0;  // where the next look goes on
  std::array<Turns, kCapacity> turns_{};
};

}  // namespace millrace

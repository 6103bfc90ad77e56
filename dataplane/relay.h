// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One burst in, one burst out: the packet path of one worker.
//
// Theory of operation. burst() takes up to 32 packets of one interface through two passes, with the
// next memory prefetched: classify all (headers checked, slot found by port), then for each admit
// (source, first byte, statistics), rewrite in place and append to the TxBatch of the interface it
// leaves by. What is not media goes to the Host. Everything else is dropped under its name, and
// all drops of a burst are freed at once: every packet ends in exactly one of these places.
// No allocation, lock, system call, log or virtual call. See docs/architecture.md.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/flow_table.h"
#include "dataplane/host.h"
#include "dataplane/link.h"
#include "dataplane/stats.h"
#include "dataplane/tsc.h"
#include "dataplane/tx_batch.h"

struct rte_mbuf;

namespace millrace {

class Relay {
 public:
  static constexpr std::size_t kBurst = 32;

  // One a worker. `links` in the order of their indexes. All outlive the relay.
  Relay(FlowTable& flows, std::span<Link* const> links, Host& host, WorkerStats& stats);

  // Packets received on interface `link`. Preconditions: they are at most kBurst, and `tx` has one
  // batch an interface, each with room for all of them. Afterwards every packet is in a batch or
  // freed.
  void burst(std::size_t link, std::span<rte_mbuf*> rx, Tsc now, std::span<TxBatch> tx);

 private:
  // The own addresses of a link, to be found by what a packet is addressed to.
  class LocalAddresses {
   public:
    LocalAddresses(const Link& link, const FlowTable& flows);
    struct Found {
      std::uint32_t v4_raw = 0;  // 0 = nothing here
      SlotIndex first;           // of port 0
      Slot* slots = nullptr;
    };
    [[nodiscard]] const Found* find(std::uint32_t v4_raw) const;

   private:
    static constexpr std::uint32_t kHash = 0x9e37'79b1;
    std::vector<Found> table_;  // open addressing, less than half full
    unsigned shift_;
  };
  // How to leave from a media address. The link's MAC is split as the frame header needs it.
  struct Exit {
    std::uint64_t mac_head;  // its first two bytes, above a destination's six
    std::uint32_t mac_tail;
    std::uint32_t v4_raw;
    const NeighborTable* neighbors;
    std::size_t link;
  };
  struct Arrival;

  [[nodiscard]] std::optional<DropReason> forward(const Arrival& arrival, Tsc now,
                                                  std::span<TxBatch> tx);
  [[nodiscard]] std::optional<DropReason> stranger(const Arrival& arrival, std::uint32_t flags,
                                                   Tsc now);
  [[nodiscard]] std::optional<DropReason> note_other(const Arrival& arrival, std::uint32_t flags,
                                                     Tsc now, std::uint32_t clock_rate);
  [[nodiscard]] DropReason not_sent(const Arrival& arrival, DropReason reason);

  FlowTable& flows_;
  Host& host_;
  WorkerStats& stats_;
  std::vector<std::uint64_t> macs_;    // by link, as mac_word()
  std::vector<LocalAddresses> local_;  // by link
  std::vector<Exit> exits_;            // by media address
};

}  // namespace millrace

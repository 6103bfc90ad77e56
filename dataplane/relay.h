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

  // Packets received on interface `link`: at most kBurst. `tx` has one batch an interface, each
  // with room for a whole burst. Afterwards every packet is in a batch or freed.
  void burst(std::size_t link, std::span<rte_mbuf*> rx, Tsc now, std::span<TxBatch> tx);

 private:
  // The own addresses of a link, to be found by what a packet is addressed to.
  class LocalAddresses {
   public:
    LocalAddresses(const Link& link, const FlowTable& flows);
    struct Found {
      std::uint32_t v4_raw = 0;  // 0 = nothing here
      std::uint32_t first_slot = 0;
      Slot* slots = nullptr;
    };
    [[nodiscard]] const Found* find(std::uint32_t v4_raw) const;

   private:
    std::vector<Found> table_;  // open addressing, at most half full
    unsigned shift_;
  };

  FlowTable& flows_;
  Host& host_;
  WorkerStats& stats_;
  std::vector<Link*> links_;
  std::vector<LocalAddresses> local_;  // by link
};

}  // namespace millrace

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

struct Content;
struct FrameClass;
struct OrdersV4;

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
      Slot* slots = nullptr;
    };
    // By value: a burst keeps it in registers.
    struct Index {
      const Found* table;
      std::size_t mask;
      unsigned shift;
      // The slots of the address, or null if it is not one of them.
      [[nodiscard]] const Found* find(std::uint32_t v4_raw) const;
    };
    [[nodiscard]] Index index() const { return {table_.data(), table_.size() - 1, shift_}; }

   private:
    static constexpr std::uint32_t kHash = 0x9e37'79b1;
    std::vector<Found> table_;  // open addressing, less than half full
    unsigned shift_;
  };
  // How to leave from a media address.
  struct Exit {
    std::uint64_t mac_and_type;  // the link's MAC, then the ethertype of IPv4
    std::uint32_t v4_raw;
    const NeighborTable* neighbors;
    std::size_t link;
  };
  struct Arrival;
  struct Datagram {
    Endpoint source;
    std::span<const std::byte> payload;
  };
  class Drops;

  [[nodiscard]] static FrameClass classify_packet(const rte_mbuf* packet, std::uint64_t own_mac);
  void other(std::size_t link, rte_mbuf* packet, Tsc now, TxBatch& tx, Drops& drops);
  void forward(const Arrival& arrival, Tsc now, std::span<TxBatch> tx, Drops& drops);
  void forward_unusual(const Arrival& arrival, Tsc now, std::span<TxBatch> tx, Drops& drops);
  void send(const Arrival& arrival, const OrdersV4& orders, const Exit& exit, NeighborWord next,
            std::span<TxBatch> tx);
  [[nodiscard]] std::optional<DropReason> stranger(const Arrival& arrival, const Datagram& datagram,
                                                   std::uint32_t flags, Tsc now);
  [[nodiscard]] std::expected<NeighborWord, DropReason> admit(const Arrival& arrival, Tsc now,
                                                              OrdersV4& orders);
  void note(const Arrival& arrival, const Content& content, const OrdersV4& orders, Tsc now);
  void note_unusual(const Arrival& arrival, Tsc now, std::uint32_t clock_rate);
  [[nodiscard]] std::expected<NeighborWord, DropReason> next_hop(const Arrival& arrival,
                                                                 const OrdersV4& orders, Tsc now);

  FlowTable& flows_;
  Host& host_;
  WorkerStats& stats_;
  std::vector<std::uint64_t> macs_;    // by link, as MacAddress::word()
  std::vector<LocalAddresses> local_;  // by link
  std::vector<Exit> exits_;            // by media address
};

}  // namespace millrace

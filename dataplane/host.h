// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The least duties of an IP host: it answers ARP requests and ICMP echo for its own addresses,
// takes in ARP replies, and asks for its next hops. Everything else is a named drop.
//
// One Host a worker. Answers are written into the packet that asked, so answering needs no buffer;
// echo replies are limited to a rate (RFC 1812 section 4.3.2.8). One worker of all calls
// housekeep() in each round, which sends the ARP requests of every link's NeighborTable.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/link.h"
#include "dataplane/stats.h"
#include "dataplane/tsc.h"
#include "dataplane/tx_batch.h"

struct rte_mbuf;
struct rte_mempool;

namespace millrace {

class Host {
 public:
  static constexpr std::uint32_t kEchoRepliesPerSecond = 100;

  // `links` in the order of their indexes; `pool` gives the buffers of ARP requests. All outlive
  // the host.
  Host(std::span<Link* const> links, rte_mempool& pool, WorkerStats& stats, std::uint64_t tsc_hz);

  // A frame of one segment that is no media datagram. It either goes out through `tx` (the batch
  // of the same link) or comes back with the reason to drop it.
  [[nodiscard]] std::optional<DropReason> receive(std::size_t link, rte_mbuf& packet, Tsc now,
                                                  TxBatch& tx);

  // Cheap when nothing is due. `tx` has one batch a link.
  void housekeep(Tsc now, std::span<TxBatch> tx);

 private:
  [[nodiscard]] std::optional<DropReason> arp(Link& link, rte_mbuf& packet, Tsc now, TxBatch& tx);
  [[nodiscard]] std::optional<DropReason> icmp(const Link& link, rte_mbuf& packet, Tsc now,
                                               TxBatch& tx);
  bool take_token(Tsc now);
  void send(const Link& link, const ArpRequest& request, TxBatch& tx);

  std::vector<Link*> links_;
  rte_mempool& pool_;
  WorkerStats& stats_;
  std::uint64_t tsc_hz_;
  Tsc tokens_at_;  // echo tokens were last added then
  std::uint32_t tokens_ = kEchoRepliesPerSecond;
};

}  // namespace millrace

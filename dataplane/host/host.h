// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The least duties of an IP host: it answers ARP requests, Neighbor Solicitations and ICMP echo for
// its own addresses, takes in the answers to its own, and asks for its next hops. Everything else
// is a named drop. host.cc has IPv4, host_ipv6.cc IPv6.
//
// One Host a worker. Answers are written into the packet that asked, so answering needs no buffer;
// echo replies are limited to a rate (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)). One
// worker of all calls housekeep() in each round, which sends what every link's NeighborTable asks.

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/host/link.h"
#include "dataplane/host/tx_batch.h"
#include "dataplane/stats.h"
#include "dataplane/tsc.h"

struct rte_mbuf;
struct rte_mempool;

namespace millrace {

enum class FrameKind : std::uint8_t;

class Host {
 public:
  static constexpr std::uint32_t kEchoRepliesPerSecond = 100;

  // `links` in the order of their indexes; `pool` gives the buffers of what it asks. All outlive
  // the host.
  Host(std::span<Link* const> links, rte_mempool& pool, WorkerStats& stats, std::uint64_t tsc_hz);

  // A frame of one segment that classify() found to be ARP or ICMP of either family. It either goes
  // out through `tx` (the batch of the same NIC) or comes back with the reason to drop it.
  [[nodiscard]] std::optional<DropReason> receive(std::size_t nic, FrameKind kind, rte_mbuf& packet,
                                                  Tsc now, TxBatch& tx);

  // Cheap when nothing is due. `tx` has one batch a NIC.
  void housekeep(Tsc now, std::span<TxBatch> tx);

 private:
  [[nodiscard]] std::optional<DropReason> arp(std::size_t nic, rte_mbuf& packet, Tsc now,
                                              TxBatch& tx);
  [[nodiscard]] std::optional<DropReason> icmp(std::size_t nic, rte_mbuf& packet, Tsc now,
                                               TxBatch& tx);
  [[nodiscard]] std::optional<DropReason> icmp6(std::size_t nic, rte_mbuf& packet, Tsc now,
                                                TxBatch& tx);
  [[nodiscard]] std::optional<DropReason> echo6(std::size_t nic, rte_mbuf& packet, Tsc now,
                                                TxBatch& tx);
  [[nodiscard]] std::optional<DropReason> solicitation(std::size_t nic, rte_mbuf& packet, Tsc now,
                                                       TxBatch& tx);
  [[nodiscard]] std::optional<DropReason> advertisement(std::size_t nic, const rte_mbuf& packet,
                                                        Tsc now);
  // The link on that NIC which has the address.
  [[nodiscard]] const Link* owner(std::size_t nic, const IpAddress& address) const;
  bool learn(std::size_t nic, const IpAddress& address, const std::optional<MacAddress>& mac,
             Tsc now);
  void claim(std::size_t nic, const IpAddress& address, const MacAddress& mac, Tsc now);
  bool take_token(Tsc now);
  void send(const Link& link, const Solicitation& request, TxBatch& tx);

  std::vector<Link*> links_;
  // Every address of ours, sorted: strangers choose how often it is asked for.
  using OwnAddress = std::pair<std::size_t, IpAddress>;  // NIC
  using Own = std::pair<OwnAddress, const Link*>;
  std::vector<Own> own_;
  rte_mempool& pool_;
  WorkerStats& stats_;
  std::uint64_t tsc_hz_;
  Tsc tokens_at_;  // echo tokens were last added then
  std::uint32_t tokens_ = kEchoRepliesPerSecond;
};

}  // namespace millrace

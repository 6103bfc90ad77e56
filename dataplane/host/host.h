// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Minimal host stack: ARP, ND, ICMP echo.
//
// It answers ARP requests, Neighbor Solicitations and ICMP echo requests for our addresses, passes
// ARP replies and Neighbor Advertisements to the NeighborTable, and resolves next hops. It drops
// everything else by name. host.cc has IPv4, host_ipv6.cc IPv6.
//
// One Host per worker. It writes a reply into the request's mbuf, so a reply allocates nothing.
// Echo replies are rate-limited (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)). Exactly one
// worker calls housekeep(), once per loop: it sends the requests that are due in the NeighborTable
// of every link.

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

  // `links` in the order of their indexes. Requests take their mbufs from `pool`. All outlive the
  // host.
  Host(std::span<Link* const> links, rte_mempool& pool, WorkerStats& stats, std::uint64_t tsc_hz);

  // Handles a single-segment frame that classify() found to be ARP or ICMP of either family.
  // Appends the reply to `tx`, the batch of the same NIC, or returns the reason to drop the frame.
  [[nodiscard]] std::optional<DropReason> receive(std::size_t nic, FrameKind kind, rte_mbuf& packet,
                                                  Tsc now, TxBatch& tx);

  // Cheap when nothing is due. `tx` has one batch per NIC.
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
  // The link on that NIC that owns the address, or null.
  [[nodiscard]] const Link* owner(std::size_t nic, const IpAddress& address) const;
  bool learn(std::size_t nic, const IpAddress& address, const std::optional<MacAddress>& mac,
             Tsc now);
  void claim(std::size_t nic, const IpAddress& address, const MacAddress& mac, Tsc now);
  bool take_token(Tsc now);
  void send(const Link& link, const Solicitation& request, TxBatch& tx);

  std::vector<Link*> links_;
  // All our addresses, sorted for binary search: a flood decides how often this is searched.
  using OwnAddress = std::pair<std::size_t, IpAddress>;  // NIC
  using Own = std::pair<OwnAddress, const Link*>;
  std::vector<Own> own_;
  rte_mempool& pool_;
  WorkerStats& stats_;
  std::uint64_t tsc_hz_;
  Tsc tokens_at_;  // when echo tokens were last added
  std::uint32_t tokens_ = kEchoRepliesPerSecond;
};

}  // namespace millrace

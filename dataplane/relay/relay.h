// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The packet path of one worker: burst in, burst out.
//
// Theory of operation. burst() takes up to 32 packets of one NIC through two passes, each of which
// prefetches ahead. Pass 1 classifies all packets: checks headers, finds the slot by port. Pass 2
// admits each packet (source, first byte, statistics), rewrites it in place and appends it to the
// TxBatch of its egress NIC. Both passes have a fast path for the usual packet: the next RTP
// packet of a known stream in a plain frame. All other packets take the slow path in
// relay_unusual.cc. The families of ingress and egress are template parameters, so IPv4 pays
// nothing for IPv6. ARP and ICMP go to the Host. All other packets are dropped by name, and the
// drops of a burst are freed in bulk. Every packet has exactly one exit: sent, to the Host, or
// dropped. Early STUN (early_stun.h) is kept first and then sent or dropped. No allocation, lock,
// system call, log or virtual call. See docs/architecture.md.
//
// Hairpin. If a rule's destination is another port of the relay, its next hop is kInsideHop, which
// no neighbor matches, so the packet takes the slow path. There it is rewritten as for a wire, then
// admitted at the slot of its new destination and forwarded by that slot's rule, up to kMaxPasses
// times. It stays one mbuf, so rings of calls multiply nothing. Each pass takes one from the TTL,
// as a wire would. The slots on its way count it as received, the worker counts it once. The worker
// that receives a flow carries it to the end and writes SeenLine of all slots on the way. If RTP
// and RTCP that share the last port came by two workers, SeenLine may lose a count (flow.h).

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/flow/flow_table.h"
#include "dataplane/host/host.h"
#include "dataplane/host/link.h"
#include "dataplane/host/tx_batch.h"
#include "dataplane/relay/arrival.h"
#include "dataplane/relay/early_stun.h"
#include "dataplane/relay/local_addresses.h"
#include "dataplane/stats.h"
#include "dataplane/tsc.h"
#include "dataplane/wire/frame.h"

struct rte_mbuf;

namespace millrace {

struct Content;

class Relay {
 public:
  static constexpr std::size_t kBurst = millrace::kBurst;
  static constexpr unsigned kMaxPasses = 4;  // from one port of the relay to another, per packet

  // One per worker. `links` in the order of their indexes, `tx` has one batch per NIC. All outlive
  // the relay.
  Relay(FlowTable& flows, std::span<Link* const> links, Host& host, std::span<TxBatch> tx,
        WorkerStats& stats);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  // Handles packets received on a NIC. Preconditions: at most kBurst packets, and each batch has
  // room for all of them. Afterwards every packet is in a batch, freed or kept.
  void burst(std::size_t nic, std::span<rte_mbuf*> rx, Tsc now);

  // Whether any packets are kept.
  [[nodiscard]] bool keeps() const { return !early_.empty(); }
  // Sends the kept packets that can be sent now and drops expired ones. Precondition: the batches
  // are empty.
  void send_kept(Tsc now);

 private:
  // Matching of packets received on one NIC, per family.
  template <Family F>
  struct Ingress {
    PlainDatagram<F> plain;
    LocalAddresses<F> local;
  };
  struct Nic {
    std::uint64_t mac = 0;  // as MacAddress::word()
    Ingress<Family::ipv4> v4;
    Ingress<Family::ipv6> v6;
  };
  struct Datagram {
    Endpoint source;
    std::span<const std::byte> payload;
  };

  // ---- relay.cc: a burst, and the usual packet ------------------------------------------------
  template <Family F>
  struct PlainArrival;
  template <Family F>
  static void arrive(const Ingress<F>& ingress, Arrivals& arrivals, Arrivals& others);
  template <Family F>
  static void partition(const Ingress<F>& ingress, Arrivals& arrivals, Arrival* from,
                        Arrivals& others);
  template <Family F>
  [[nodiscard]] static bool find_padded(const PlainArrival<F>& usual, Arrival& arrival);
  template <Family F>
  [[nodiscard]] static std::optional<DropReason> arrive_slow(const Ingress<F>& ingress,
                                                             Arrival arrival, Arrivals& arrivals);
  void classify_slow(std::size_t nic, const Arrival& arrival, Tsc now, Arrivals& arrivals,
                     Drops& drops);
  template <Family In>
  void forward(Arrivals& arrivals, Tsc now, Drops& drops);
  template <Family In, Family Out>
  [[nodiscard]] bool forward_usual(Arrival arrival, Tsc now);
  void forward_across(const Arrival& arrival, Tsc now, Drops& drops);

  // ---- relay_unusual.cc: any packet -----------------------------------------------------------
  // A packet and the slot that it has reached.
  struct Position {
    Arrival at;
    bool inside = false;  // arrived from another port of the relay
  };

  void forward_unusual(const Arrival& arrival, Tsc now, Drops& drops);
  [[nodiscard]] std::expected<NeighborWord, DropReason> admit(const Arrival& arrival, bool inside,
                                                              Tsc now, RuleWords& words);
  [[nodiscard]] std::optional<DropReason> stranger(const Arrival& arrival, const Datagram& datagram,
                                                   std::uint32_t flags, Tsc now);
  [[nodiscard]] bool note_opaque(const Arrival& arrival, const RuleWords& words, Tsc now);
  void note(const Arrival& arrival, const Content& content, const RuleWords& words, Tsc now);
  [[nodiscard]] std::expected<NeighborWord, DropReason> split_off(const Arrival& arrival,
                                                                  bool inside, RuleWords& words,
                                                                  Tsc now);
  [[nodiscard]] std::expected<NeighborWord, DropReason> divert(const Arrival& arrival,
                                                               RuleWords& words, Tsc now);
  [[nodiscard]] std::expected<NeighborWord, DropReason> next_hop(const Arrival& arrival,
                                                                 const RuleWords& words, Tsc now);
  [[nodiscard]] std::optional<DropReason> send_any(const Arrival& arrival, const RuleWords& words,
                                                   NeighborWord next);
  [[nodiscard]] bool turn(const Arrival& arrival, const RuleWords& words) const;
  [[nodiscard]] std::optional<DropReason> carry(Position& position, RuleWords& words, Tsc now);
  void forward_inside(const Arrival& arrival, RuleWords& words, Tsc now, Drops& drops);
  void give_up(const Arrival& arrival, bool inside, DropReason reason, Tsc now, Drops& drops);
  [[nodiscard]] bool keep(const Arrival& arrival, bool inside, DropReason reason, Tsc now);
  [[nodiscard]] std::optional<DropReason> send_late(EarlyStun::Kept& kept, Tsc now);

  FlowTable& flows_;
  Host& host_;
  std::span<TxBatch> tx_;
  WorkerStats& stats_;
  std::vector<Nic> nics_;
  std::vector<TxContext> tx_contexts_;  // by media address
  std::size_t longest_;                 // longest frame that fits the MTU of all networks
  EarlyStun early_;
};

}  // namespace millrace

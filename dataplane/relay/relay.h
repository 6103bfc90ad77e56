// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One burst in, one burst out: the packet path of one worker.
//
// Theory of operation. burst() takes up to 32 packets of one NIC through two passes, with the
// next memory prefetched: classify all (headers checked, slot found by port), then for each admit
// (source, first byte, statistics), rewrite in place and append to the TxBatch of the NIC it leaves
// by. Both passes are made for the usual packet: the next RTP of a known stream, in a frame without
// anything special; any other takes the long way, in relay_unusual.cc. The family that a packet
// comes and leaves by is a template parameter, so IPv4 pays nothing for IPv6. What is not media
// goes to the Host. Everything else is dropped under its name, and all drops of a burst are freed
// at once: every packet ends in exactly one of these places; STUN that came too early
// (early_stun.h) takes a little longer.
// No allocation, lock, system call, log or virtual call. See docs/architecture.md.

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

  // One a worker. `links` in the order of their indexes, `tx` has one batch a NIC. All outlive the
  // relay.
  Relay(FlowTable& flows, std::span<Link* const> links, Host& host, std::span<TxBatch> tx,
        WorkerStats& stats);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  // Packets received on a NIC. Preconditions: they are at most kBurst, and each batch has room for
  // all of them. Afterwards every packet is in a batch, freed or kept.
  void burst(std::size_t nic, std::span<rte_mbuf*> rx, Tsc now);

  // Whether packets are kept; then this sends those that can be sent by now and drops those that
  // have waited for too long. Precondition: the batches are empty.
  [[nodiscard]] bool keeps() const { return !early_.empty(); }
  void send_kept(Tsc now);

 private:
  // What arrives on one NIC, by family.
  template <Family F>
  struct Entrance {
    PlainDatagram<F> plain;
    LocalAddresses<F> local;
  };
  struct Nic {
    std::uint64_t mac = 0;  // as MacAddress::word()
    Entrance<Family::ipv4> v4;
    Entrance<Family::ipv6> v6;
  };
  struct Datagram {
    Endpoint source;
    std::span<const std::byte> payload;
  };

  // ---- relay.cc: a burst, and the usual packet ------------------------------------------------
  template <Family F>
  struct PlainArrival;
  template <Family F>
  static void arrive(const Entrance<F>& entrance, Arrivals& arrivals, Arrivals& others);
  template <Family F>
  static void sort_out(const Entrance<F>& entrance, Arrival* from, Arrivals& arrivals,
                       Arrivals& others);
  template <Family F>
  [[nodiscard]] static bool find_padded(const PlainArrival<F>& usual, Arrival& arrival);
  template <Family F>
  [[nodiscard]] static std::optional<DropReason> arrive_closely(const Entrance<F>& entrance,
                                                                Arrival arrival,
                                                                Arrivals& arrivals);
  void look_closer(std::size_t nic, const Arrival& arrival, Tsc now, Arrivals& arrivals,
                   Drops& drops);
  template <Family In>
  void forward(Arrivals& arrivals, Tsc now, Drops& drops);
  template <Family In, Family Out>
  [[nodiscard]] bool forward_usual(Arrival arrival, Tsc now);
  void forward_across(const Arrival& arrival, Tsc now, Drops& drops);

  // ---- relay_unusual.cc: any packet -----------------------------------------------------------
  void forward_unusual(const Arrival& arrival, Tsc now, Drops& drops);
  [[nodiscard]] std::expected<NeighborWord, DropReason> admit(const Arrival& arrival, Tsc now,
                                                              OrderWords& words);
  [[nodiscard]] std::optional<DropReason> stranger(const Arrival& arrival, const Datagram& datagram,
                                                   std::uint32_t flags, Tsc now);
  void note(const Arrival& arrival, const Content& content, const OrderWords& words, Tsc now);
  [[nodiscard]] std::expected<NeighborWord, DropReason> split_off(const Arrival& arrival,
                                                                  OrderWords& words, Tsc now);
  [[nodiscard]] std::expected<NeighborWord, DropReason> next_hop(const Arrival& arrival,
                                                                 const OrderWords& words, Tsc now);
  [[nodiscard]] std::optional<DropReason> send_any(const Arrival& arrival, const OrderWords& words,
                                                   NeighborWord next);
  [[nodiscard]] bool keep(const Arrival& arrival, DropReason reason, Tsc now);
  [[nodiscard]] std::optional<DropReason> send_late(const EarlyStun::Kept& kept, Tsc now);

  FlowTable& flows_;
  Host& host_;
  std::span<TxBatch> tx_;
  WorkerStats& stats_;
  std::vector<Nic> nics_;
  std::vector<Exit> exits_;  // by media address
  std::size_t longest_;      // frame that any of the networks takes
  EarlyStun early_;
};

}  // namespace millrace

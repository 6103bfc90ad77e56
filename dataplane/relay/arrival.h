// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A datagram in the relay, and how it leaves.
//
// An Arrival is what the first pass of a burst hands to the second: a datagram in a frame that is
// as frame.h says and ends with it, addressed to a slot. An Exit is what all that leaves from one
// media address has in common: send() rewrites the headers and appends the packet to the batch of
// the NIC. What does not leave is among the Drops.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <rte_mbuf.h>

#include "dataplane/flow/flow.h"
#include "dataplane/host/neighbor.h"
#include "dataplane/host/tx_batch.h"
#include "dataplane/relay/rewrite.h"
#include "dataplane/stats.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/frame.h"

namespace millrace {

inline constexpr std::size_t kBurst = 32;

struct Arrival {
  rte_mbuf* packet;
  Slot* slot;
  std::byte* frame;

  [[nodiscard]] std::byte* ip() const { return frame + kEtherSize; }
  [[nodiscard]] std::size_t length() const { return packet->data_len; }
  [[nodiscard]] std::span<std::byte> payload() const {
    const std::size_t headers = udp_headers(family_of(ip()));
    return {frame + headers, length() - headers};
  }
  [[nodiscard]] SlotIndex index() const { return slot->seen.self; }
  // All the orders of its slot; false if a writer was in the way.
  [[nodiscard]] bool read_orders(OrderWords& words) const {
    return read_consistent(slot->orders, [&](std::uint64_t head) {
      copy_words<Family::ipv6, Family::ipv6>(slot->orders, head, words);
    });
  }
  [[nodiscard]] bool is_heard(const OrderWords& words) const {
    if (!words.has(flow_flag::kSource)) return false;
    return family_of(ip()) == Family::ipv4 ? is_from<Family::ipv4>(words, ip())
                                           : is_from<Family::ipv6>(words, ip());
  }
};

// Those of a burst: filled as far as they are read, zeroing them would cost each burst 768 bytes.
// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): hence
class Arrivals {
 public:
  Arrivals() = default;  // NOLINT(cppcoreguidelines-pro-type-member-init): as above
  Arrivals(const Arrivals&) = delete;
  Arrivals& operator=(const Arrivals&) = delete;
  ~Arrivals() = default;

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::span<const Arrival> all() const { return std::span(list_).first(count_); }
  [[nodiscard]] Arrival* begin() { return list_.data(); }
  [[nodiscard]] Arrival* end() { return list_.data() + count_; }
  void add(const Arrival& arrival) { list_[count_++] = arrival; }
  void end_at(const Arrival* end) { count_ = static_cast<std::size_t>(end - list_.data()); }

 private:
  std::size_t count_ = 0;
  std::array<Arrival, kBurst + 1> list_;  // end() may be written to
};

// How to leave from a media address.
struct alignas(64) Exit {
  std::uint64_t mac_and_type;            // the NIC's MAC, then the ethertype of its family
  std::array<std::uint64_t, 2> address;  // as IpAddress::words()
  const NeighborTable* neighbors;
  TxBatch* batch;
  std::size_t longest;  // frame that the network takes
};

template <Family In, Family Out>
[[gnu::always_inline]] inline void send(const Arrival& arrival, const OrderWords& words,
                                        const Exit& exit, NeighborWord next) {
  std::byte* const ip = rewrite<In, Out>(arrival.ip(), words, exit.address);
  store(ip - kEtherSize, next.raw());  // the tag that follows the MAC is overwritten
  store(ip - kEtherSize + 6, exit.mac_and_type);

  rte_mbuf* const packet = arrival.packet;
  const std::size_t length = arrival.length() + ip_size(Out) - ip_size(In);
  if constexpr (In != Out) {
    packet->pkt_len = static_cast<std::uint32_t>(length);
    packet->data_len = static_cast<std::uint16_t>(length);
    packet->data_off = static_cast<std::uint16_t>(packet->data_off + ip_size(In) - ip_size(Out));
  }
  // Marks of the receiving NIC do not concern the sending one.
  packet->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
  exit.batch->push(packet, length);
}

// The packets of a burst that end here.
class Drops {
 public:
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): packets_ is filled as far as it is read
  explicit Drops(WorkerStats& stats) : stats_(stats) {}
  Drops(const Drops&) = delete;
  Drops& operator=(const Drops&) = delete;
  ~Drops() {
    if (count_ != 0) rte_pktmbuf_free_bulk(packets_.data(), count_);
  }
  [[gnu::noinline]] void add(rte_mbuf* packet, DropReason reason) {
    packets_[count_++] = packet;
    stats_.drop(reason);
  }
  // One that does not end here, but is not sent yet: freeing passes over it.
  void pass_over() { packets_[count_++] = nullptr; }
  [[nodiscard]] unsigned count() const { return count_; }

 private:
  WorkerStats& stats_;
  unsigned count_ = 0;
  std::array<rte_mbuf*, kBurst> packets_;
};

}  // namespace millrace

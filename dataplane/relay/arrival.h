// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Received datagrams of a burst, and how the relay sends or drops them.
//
// The first pass of a burst passes Arrivals to the second: datagrams that frame.h accepted, without
// Ethernet padding, each with the slot that it is addressed to. A TxContext holds what all packets
// sent from one media address share. send() rewrites the headers and appends the packet to the
// TxBatch of the NIC. Drops collects the packets of a burst that are not sent.

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
  // Copies the rule of the slot. False if a writer held it for all kReadTries.
  [[nodiscard]] bool read_rule(RuleWords& words) const {
    return read_consistent(slot->rule, [&](std::uint64_t head) {
      copy_words<Family::ipv6, Family::ipv6>(slot->rule, head, words);
    });
  }
  // `inside`: the relay itself has sent the packet here.
  [[nodiscard]] bool is_from_source(const RuleWords& words, bool inside = false) const {
    using namespace flow_flag;
    if (inside ? !words.has_all(kInside) : !words.has(kSource)) return false;
    return family_of(ip()) == Family::ipv4 ? is_from<Family::ipv4>(words, ip())
                                           : is_from<Family::ipv6>(words, ip());
  }
};

// One entry per packet of a burst. Left uninitialised on purpose: zeroing costs 768 bytes per
// burst.
// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): see above
class Arrivals {
 public:
  Arrivals() = default;  // NOLINT(cppcoreguidelines-pro-type-member-init): see above
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

// What send() needs to send from one media address.
struct alignas(64) TxContext {
  std::uint64_t mac_and_type;            // source MAC, then the ethertype
  std::array<std::uint64_t, 2> address;  // as IpAddress::words()
  const NeighborTable* neighbors;
  TxBatch* batch;
  std::size_t longest;  // longest frame of the network, by its MTU
};

// Adapts a packet to its rewritten header. Returns the length of the frame.
template <Family In, Family Out>
[[gnu::always_inline]] inline std::size_t fit(rte_mbuf* packet) {
  const std::size_t length = packet->data_len + ip_size(Out) - ip_size(In);
  if constexpr (In != Out) {
    packet->pkt_len = static_cast<std::uint32_t>(length);
    packet->data_len = static_cast<std::uint16_t>(length);
    packet->data_off = static_cast<std::uint16_t>(packet->data_off + ip_size(In) - ip_size(Out));
  }
  // Clear the offload flags that RX set.
  packet->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
  return length;
}

template <Family In, Family Out>
[[gnu::always_inline]] inline void send(const Arrival& arrival, const RuleWords& words,
                                        const TxContext& context, NeighborWord next) {
  std::byte* const ip = rewrite<In, Out>(arrival.ip(), words, context.address);
  store(ip - kEtherSize, next.raw());  // the next store overwrites the tag behind the MAC
  store(ip - kEtherSize + 6, context.mac_and_type);
  const std::size_t length = fit<In, Out>(arrival.packet);
  context.batch->push(arrival.packet, length);
}

// The dropped packets of a burst, freed in bulk.
class Drops {
 public:
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only packets_[0, count_) is read
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
  // Counts a packet that is neither sent nor dropped yet. The bulk free skips null.
  void add_kept() { packets_[count_++] = nullptr; }
  [[nodiscard]] unsigned count() const { return count_; }

 private:
  WorkerStats& stats_;
  unsigned count_ = 0;
  std::array<rte_mbuf*, kBurst> packets_;
};

}  // namespace millrace

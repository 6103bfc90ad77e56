// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Queue for admitted STUN that cannot be forwarded yet.
//
// Parties start ICE checks as soon as they have sent their SDP, before the relay knows the other
// party's address or its next hop's MAC. A check lost then costs a retransmission timeout (RFC 8445
// section 14.3). Therefore the worker that received admitted STUN, never STUN of strangers, keeps
// it here until it can be sent or expires. Expired packets are dropped for the reason they waited
// for. Limits: kPerSlot per slot, kCapacity per worker, one second. They are low because the mbufs
// come from the pool of the NIC queues.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/flow/flow.h"
#include "dataplane/stats.h"
#include "dataplane/tsc.h"

struct rte_mbuf;

namespace millrace {

class EarlyStun {
 public:
  static constexpr std::size_t kCapacity = 64;
  static constexpr std::size_t kPerSlot = 4;

  struct Kept {
    rte_mbuf* packet = nullptr;
    SlotIndex slot;       // of arrival
    Tsc since;            // time of arrival
    DropReason reason{};  // why it could not be sent
    bool inside = false;  // arrived from another port of the relay
  };

  explicit EarlyStun(std::uint64_t tsc_hz) : life_(tsc_hz), pause_(tsc_hz / 1000) {}

  [[nodiscard]] static bool waits_for(DropReason reason) {
    return reason == DropReason::no_destination || reason == DropReason::neighbor_unresolved;
  }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] bool expired(const Kept& kept, Tsc now) const {
    return elapsed(kept.since, now) >= life_;
  }
  // False if a limit is reached.
  [[nodiscard]] bool keep(const Kept& added) {
    std::size_t of_slot = 0;
    for (const Kept& kept : all()) of_slot += kept.slot == added.slot ? 1 : 0;
    if (count_ == kCapacity || of_slot == kPerSlot) return false;
    kept_[count_++] = added;
    return true;
  }
  // Calls `stays(Kept&)` for each packet, oldest first, at most once per millisecond. A packet for
  // which it returns false is removed; the caller owns its mbuf.
  template <typename Stays>
  void revisit(Tsc now, Stays&& stays) {
    if (now < next_) return;
    next_ = Tsc{now.ticks + pause_};
    std::size_t left = 0;
    for (Kept& kept : all()) {
      if (stays(kept)) kept_[left++] = kept;
    }
    count_ = left;
  }
  [[nodiscard]] std::span<Kept> all() { return std::span(kept_).first(count_); }

 private:
  std::uint64_t life_;   // one second, in ticks
  std::uint64_t pause_;  // minimum interval of revisit(): 1 ms, in ticks
  Tsc next_;
  std::size_t count_ = 0;
  std::array<Kept, kCapacity> kept_{};
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// STUN that came before there was a way on, kept for a moment by the worker that received it.
//
// Parties check with ICE as soon as they have sent their SDP, before the relay knows where the
// other one is or has its next hop's MAC; a check that is lost then costs them a retransmission
// timeout (RFC 8445 section 14.3). So STUN that was admitted, never that of strangers, waits here
// until it can be sent, else is dropped for the reason that it waited for. Few for each slot, few
// in all, and for a short time: the buffers are those of the NICs' queues.

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
    SlotIndex slot;       // where it arrived,
    Tsc since;            // when,
    DropReason reason{};  // and why it could not be sent
  };

  explicit EarlyStun(std::uint64_t tsc_hz) : life_(tsc_hz), pause_(tsc_hz / 1000) {}

  [[nodiscard]] static bool waits_for(DropReason reason) {
    return reason == DropReason::no_destination || reason == DropReason::neighbor_unresolved;
  }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] bool expired(const Kept& kept, Tsc now) const {
    return elapsed(kept.since, now) >= life_;
  }
  // False if there is no room for it.
  [[nodiscard]] bool keep(const Kept& news) {
    std::size_t of_slot = 0;
    for (const Kept& kept : all()) of_slot += kept.slot == news.slot ? 1 : 0;
    if (count_ == kCapacity || of_slot == kPerSlot) return false;
    kept_[count_++] = news;
    return true;
  }
  // Asks `stays(Kept&)` of each, oldest first, but about once a millisecond only. Those that do not
  // stay are the caller's again.
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
  std::uint64_t life_;   // one second
  std::uint64_t pause_;  // between two looks
  Tsc next_;
  std::size_t count_ = 0;
  std::array<Kept, kCapacity> kept_{};
};

}  // namespace millrace

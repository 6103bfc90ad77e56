// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Dialogs that ended recently, of protocols whose replies can make a call (MediaProxy).
//
// A SIP network may deliver a copy of the 200 after the BYE. For 32 s, the life of a transaction
// (64*T1, RFC 3261 section 17), a copy is recognised by Call-ID, tags and CSeq. Bounded: past kMax
// dialogs the oldest is forgotten. Names are kept as 64-bit hashes with a secret, so that callers
// cannot choose names for one bucket; two that collide refuse one reply. Thread-safe.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <random>
#include <string_view>
#include <unordered_map>

#include "control/leg/call_state.h"

namespace millrace {

class EndedDialogs {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMax = 65536;
  static constexpr std::chrono::seconds kRemembered = CallState::kRemembered;

  // An exchange of a dialog, by the tags of its SIP request.
  struct Exchange {
    std::string_view call_id, from_tag, to_tag;
    std::uint32_t cseq;
  };
  void add(const Exchange& last, Clock::time_point now);
  // True if a dialog with these tags ended less than kRemembered ago, after this exchange or with
  // it.
  [[nodiscard]] bool has(const Exchange& exchange, Clock::time_point now) const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry {
    std::uint32_t cseq;
    Clock::time_point at;
  };
  struct Queued {
    std::uint64_t key;
    Clock::time_point at;
  };
  [[nodiscard]] std::uint64_t key_of(const Exchange& exchange) const;

  const std::uint64_t secret_ =
      std::uint64_t{std::random_device()()} << 32 | std::random_device()();
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::deque<Queued> queue_;  // oldest first; an entry added again is queued twice
};

}  // namespace millrace

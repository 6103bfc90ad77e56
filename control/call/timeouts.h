// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// When a call ends by itself.
//
// The state of a call and the counters of its flows decide: unanswered offers, delayed deletes, the
// absolute limit, media that is expected and does not come. A limit of zero disables a timeout.

#include <chrono>
#include <cstdint>
#include <optional>

#include "control/config/config.h"
#include "control/leg/call_state.h"
#include "dataplane/dataplane.h"

namespace millrace {

enum class End : std::uint8_t {
  media_timeout,
  silent_timeout,
  offer_timeout,
  final_timeout,
  deleted,
  ice_direct,  // ICE found a path that bypasses the relay
  forced,      // the relay shuts down
};

struct Verdict {
  std::optional<End> end;
  CallState::Time next = CallState::Time::max();  // of the earliest end
};

// The earliest end and its time by the counters of the flows.
[[nodiscard]] Verdict next_end(const CallState& state, const Timeouts& timeouts,
                               const Dataplane& dataplane, CallState::Time now);
// Never later than next_end(); reads no counters.
[[nodiscard]] CallState::Time earliest_end(const CallState& state, const Timeouts& timeouts);
// `end` is set if the call is over; `next`: when to check again.
[[nodiscard]] Verdict check_end(const CallState& state, const Timeouts& timeouts,
                                const Dataplane& dataplane, CallState::Time now);

}  // namespace millrace

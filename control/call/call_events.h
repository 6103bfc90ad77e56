// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Values of a call's events.

#include "control/leg/call_state.h"
#include "control/notify/event.h"

namespace millrace {

// The dialog whose parties are joined, else the latest.
[[nodiscard]] event::End::Dialog tags_of(const CallState& state);
// Lacks the reason and the report.
[[nodiscard]] event::End ending(const CallState& state);
// Whether a party holds all media of the call.
[[nodiscard]] bool is_on_hold(const CallState& state);
// Whether media is expected of a party that has not been notified to have latched. Only for 30 s
// after signalling.
[[nodiscard]] bool awaits_latch(const CallState& state, CallState::Time now);

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Log lines of a call: each offer and answer with its media sections, the state that follows, and
// the end of the call.
//
// Figures are per party, by its last tag: "fa 302, tb 301".

#include <string>
#include <string_view>

#include "control/call/call.h"
#include "control/command/request.h"

namespace millrace {

// `event` is offer, reoffer or answer, `sender` the tag of the party whose SDP it was.
void log_signal(const Request& request, std::string_view event, const Call& call,
                std::string_view sender);

// The call after a request, at level debug (call_state.h).
void log_state(const Call& call);

// `expected`: ended by the proxy or by ICE. Any other end is a warning with the seconds since each
// party's last packet.
void log_end(std::string_view call_id, std::string_view reason, bool expected,
             const CallReport& report);

}  // namespace millrace

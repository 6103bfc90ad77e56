// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Log lines of a call: who offered or answered what, and how the call ended.
//
// Figures are by party: "fa 302, tb 301", the tag being the last one that the party used.

#include <string>
#include <string_view>

#include "control/call/call.h"
#include "control/command/request.h"

namespace millrace {

// `event` is offer, reoffer or answer, `sender` the tag of the party whose SDP it was.
void log_signal(const Request& request, std::string_view event, const Call& call,
                std::string_view sender);

// `expected`: by the proxy or by ICE. Any other end is a warning with the seconds since each party
// was last heard.
void log_end(std::string_view call_id, std::string_view reason, bool expected,
             const CallReport& report);

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Reports of a call: its state, and the counters of its flows, past and present.
//
// Each packet of a call is counted once, for the party that sent it (past_flow.h). A media section
// that was switched off is reported with its last state.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "control/command/report.h"
#include "control/leg/call_state.h"
#include "control/ports/realm.h"
#include "dataplane/dataplane.h"

namespace millrace {

[[nodiscard]] CallReport report(std::string_view id, const CallState& state, const Realms& realms,
                                const Dataplane& dataplane, CallState::Time now);

// Each media section of a party's SDP for the log: its type, the party's address, and the relay's
// address in the SDP for the other party: "audio 198.18.0.10:4000 198.51.100.2:30000".
[[nodiscard]] std::string media_summary(const CallState& state, std::string_view tag,
                                        const Realms& realms);

// Adds the relayed media sections, by type.
void count_streams(const CallState& state, std::map<std::string, std::uint64_t>& by_type);

}  // namespace millrace

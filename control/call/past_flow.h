// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a port has seen of a party that it does not serve now.
//
// The data plane counts by port and forgets with the flow. The branches of a fork take turns: who
// loses the media to another keeps what was counted until then, and goes on from there when the
// media comes back. So each packet of a call is counted once, for the party that sent it.

#include <chrono>

#include "dataplane/report.h"

namespace millrace {

struct PastFlow {
  using Clock = std::chrono::steady_clock;

  FlowReport flow;
  Clock::time_point until;  // when that was read

  [[nodiscard]] bool empty() const;
  // Both spells, told as of `now`: `later` is what the port has seen since.
  [[nodiscard]] FlowReport with(FlowReport later, Clock::time_point now) const;
};

}  // namespace millrace

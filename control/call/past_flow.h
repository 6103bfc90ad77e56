// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters of a party's ports that outlive their flows.
//
// The data plane counts by port, and withdrawing the port clears its counters. Two kinds of change
// withdraw a port while the call goes on: the branches of a fork take turns on the same ports, and
// RTCP leaves its port when both sides multiplex or the media becomes another one (T.38). Call
// reads a port before it withdraws it and adds what the port has counted so far to every later
// report, so each packet of a call is counted once, for the party that sent it.
//
// Ownership. The party's media owns a PastMedia (LegMedia::past). It lives as long as the party
// keeps the ports of that media. RTCP quality belongs to the media as a whole: RTCP may change
// between the two ports during a call.

#include <array>
#include <chrono>
#include <optional>

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

struct PastQuality {
  QualityReport report;
  PastFlow::Clock::time_point until;  // when that was read

  // Both spells as of `now`. A later report on another stream replaces this one.
  [[nodiscard]] QualityReport with(const std::optional<QualityReport>& later,
                                   PastFlow::Clock::time_point now) const;
};

struct PastMedia {
  std::array<PastFlow, 2> ports;  // RTP, RTCP
  std::optional<PastQuality> quality;
};

}  // namespace millrace

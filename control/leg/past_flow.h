// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters of a party's ports that outlive their flows.
//
// The data plane counts by port, and withdrawing the port clears its counters. Two kinds of change
// withdraw a port while the call goes on: the branches of a fork take turns on the same ports, and
// RTCP leaves its port when both sides multiplex or the media changes (to T.38). Call reads a port
// before it withdraws it and adds these counters to every later report, so each packet of a call is
// counted once, for the party that sent it.
//
// Ownership. The party's media owns a PastMedia (LegMedia::past). It outlives the ports if the
// media is switched off, and continues if the media returns. RTCP quality belongs to the port pair:
// RTCP may change between the two ports during a call.

#include <array>
#include <chrono>
#include <optional>

#include "control/command/moment.h"
#include "dataplane/path.h"
#include "dataplane/report.h"

namespace millrace {

struct PastFlow {
  using Clock = std::chrono::steady_clock;

  FlowReport flow;
  Clock::time_point until;  // time of reading

  [[nodiscard]] bool empty() const;
  // Sum of `flow` and `later`, the counters of the port since `until`, as of `now`.
  [[nodiscard]] FlowReport merge(FlowReport later, Clock::time_point now) const;
  friend bool operator==(const PastFlow&, const PastFlow&) = default;
};

struct PastQuality {
  QualityReport report;
  PastFlow::Clock::time_point until;  // time of reading

  // Merges `report` with `later`, as of `now`. A later report on another SSRC replaces it.
  [[nodiscard]] QualityReport merge(const std::optional<QualityReport>& later,
                                    PastFlow::Clock::time_point now) const;
  friend bool operator==(const PastQuality&, const PastQuality&) = default;
};

// The end of a media section that was answered once and has no ports now.
struct ClosedMedia {
  Moment at;
  LocalPort local;    // of RTP
  Endpoint endpoint;  // the same, as printed in SDP
  friend bool operator==(const ClosedMedia&, const ClosedMedia&) = default;
};

struct PastMedia {
  std::array<PastFlow, 2> ports;  // RTP, RTCP
  std::optional<PastQuality> quality;
  std::optional<ClosedMedia> closed;
  friend bool operator==(const PastMedia&, const PastMedia&) = default;
};

}  // namespace millrace

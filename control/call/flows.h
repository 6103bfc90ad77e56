// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Flows of a call: what the data plane does for a state, and what changes between two states.
//
// Theory of operation. A flow is one local port of a joined leg. Both follow from the legs of a
// dialog, so publishing the same state again is harmless. effects() compares two states of a call
// and lists what the data plane and the port pools must do. It does nothing itself.
// A leg that goes on keeps its flows, whoever its peer is. A flow ends with its leg, its port or
// its joint, and then its counters stay with the leg (past_flow.h): legs of a fork that have the
// same ports are counted apart.

#include <cstddef>
#include <cstdint>

#include "control/leg/call_state.h"
#include "control/ports/realm.h"
#include "dataplane/base/small_vector.h"
#include "dataplane/path.h"

namespace millrace {

struct Flow {
  LegId leg = kNoLeg;
  std::uint8_t index = 0;      // of the media section
  std::uint8_t component = 0;  // 0: RTP, 1: RTCP
  PortPair ports;

  [[nodiscard]] LocalPort local() const { return component == 0 ? ports.rtp() : ports.rtcp(); }
};

struct Effects {
  struct Returned {
    RealmId realm{};
    PortPair ports;
  };
  // In this order.
  SmallVector<Flow, 4> withdrawn;  // legs of the former state
  SmallVector<Path, 2> published;
  SmallVector<Returned, 4> returned;
};

// From `before` to `after`, where legs keep their ids.
[[nodiscard]] Effects effects(const CallState& before, const CallState& after,
                              const Realms& realms);

// Notes that the flows of joined legs are published: what was signalled is done.
void mark_published(CallState& state);

}  // namespace millrace

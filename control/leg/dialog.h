// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A dialog: an offerer and an answerer, and what their offers and answers settled.
//
// The branches of a fork are dialogs that share the offerer's leg. A plain value of the call's
// state (call_state.h), which has the legs.

#include <chrono>
#include <cstddef>
#include <optional>

#include "control/command/edits.h"
#include "control/leg/leg.h"
#include "control/ports/offered_ports.h"
#include "dataplane/base/small_vector.h"
#include "dataplane/base/text.h"

namespace millrace {

// rtpproxy's claims on one m= line (Claim in request.h).
struct Claims {
  bool strong = false, by_a = false, by_b = false;

  [[nodiscard]] bool any() const { return strong || by_a || by_b; }
  friend bool operator==(const Claims&, const Claims&) = default;
};

// Which party multiplexes RTCP on the RTP port of one m= line (RFC 5761).
struct Mux {
  bool a = false, b = false;  // settled by the last answer
  // By the last offer: a=rtcp-mux in the SDP for its reader, and in the SDP for its sender if
  // that does not depend on the answer.
  bool offered = false;
  std::optional<bool> reply;
  friend bool operator==(const Mux&, const Mux&) = default;
};

struct Dialog {
  LegId a = kNoLeg, b = kNoLeg;  // first offerer, answerer
  bool answered = false;
  bool pending = false;  // offer without an answer yet
  bool final = false;    // answered by a final response, if the proxy reports codes
  bool early = false;    // answered by provisional responses only
  std::optional<std::chrono::steady_clock::time_point> delete_at;
  OfferedPorts offered;           // until the first answer
  SmallVector<Claims, 1> claims;  // by m= line
  SmallVector<Mux, 1> mux;        // by m= line
  Text via_branch;

  friend bool operator==(const Dialog&, const Dialog&) = default;
  [[nodiscard]] bool joins(const Leg& leg) const { return a == leg.id || b == leg.id; }
  [[nodiscard]] LegId other(const Leg& leg) const { return a == leg.id ? b : a; }

  [[nodiscard]] bool muxes(const Leg& leg, std::size_t index) const;
  // Whether the SDP for the reader of an offer with this media section gets a=rtcp-mux.
  [[nodiscard]] bool offer_mux(const Leg& sender, std::size_t index, const PartyMedia& described,
                               const sdp::MuxChoice& asked);
  // The result of an answer with this media section to `reader`.
  [[nodiscard]] Mux settled_mux(const Leg& reader, std::size_t index,
                                const PartyMedia& described) const;
};

}  // namespace millrace

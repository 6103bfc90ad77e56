// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The state of a call: its legs, the dialogs between them, and what the proxy has set.
//
// A plain value: legs and dialogs name each other by LegId, ports are numbers, and a copy is a call
// of its own. So a request works on a copy, which replaces the state as a whole or not at all
// (change.h), and reports, events and flows are functions of a `const CallState&`.
// Invariants: legs[id].id == id; every leg is in a dialog; if a leg has a peer, the peer's peer is
// that leg and a dialog joins them; of the legs that have the same ports at most one has a peer.
// Not in the state: counters of ports in use, which the data plane has.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/command/moment.h"
#include "control/leg/dialog.h"
#include "control/leg/leg.h"
#include "control/leg/party_media.h"
#include "control/sdp/sdp_fragment.h"
#include "dataplane/base/small_vector.h"
#include "dataplane/base/text.h"

namespace millrace {

struct CallState {
  using Time = std::chrono::steady_clock::time_point;
  // Above the number of phones in any fork. Ending, joining and reporting cost O(dialogs).
  static constexpr std::size_t kMaxDialogs = 64;
  static constexpr std::size_t kMaxEnded = kMaxDialogs;
  // How long an ended dialog is not revived by a late copy of its answer: 64 times T1
  // (RFC 3261 section 13.3.1.4).
  static constexpr std::chrono::seconds kRemembered{32};

  // Where events of the call go, as in Request::notify.
  struct NotifyNames {
    Text socket, tag, dialog_id;
    friend bool operator==(const NotifyNames&, const NotifyNames&) = default;
  };
  // Of the first update (mediaproxy).
  struct UpdateNames {
    Text from_tag, from_uri, to_uri, username;
    friend bool operator==(const UpdateNames&, const UpdateNames&) = default;
  };
  // A dialog that has ended while the call goes on.
  struct Ended {
    Text via_branch, tag;  // tag: of the party that left with the dialog
    Time at;
    friend bool operator==(const Ended&, const Ended&) = default;
  };
  // A trickle fragment that overtook its SDP.
  struct Early {
    std::string tag;
    Time at;
    std::vector<sdp::FragmentMedia> sections;
    friend bool operator==(const Early&, const Early&) = default;
  };

  SmallVector<Leg, 2> legs;
  SmallVector<Dialog, 1> dialogs;
  std::optional<std::uint8_t> dscp;
  BlockState block_state;                             // of all parties, in addition to their own
  bool claimed = false;                               // by rtpproxy (Claims)
  bool looked_up = false;                             // rtpproxy: the proxy answers by L
  bool spiral = false;                                // an SDP has named a port of this call
  bool on_hold = false;                               // as last notified
  std::optional<std::chrono::seconds> media_timeout;  // overrides the configuration
  Moment created, signalled;
  Moment answered_at;  // unset: not answered
  Time last_signal;    // or a switch to another branch; timeouts start here
  Text metadata;
  Boxed<NotifyNames> notify;
  Boxed<UpdateNames> update;
  std::vector<Ended> ended;  // the last kMaxEnded
  std::vector<Early> early;  // oldest first

  friend bool operator==(const CallState&, const CallState&) = default;

  [[nodiscard]] Leg& leg(LegId id) { return legs[static_cast<std::size_t>(id)]; }
  [[nodiscard]] const Leg& leg(LegId id) const { return legs[static_cast<std::size_t>(id)]; }
  // A new leg. References to legs end.
  Leg& add_leg();
  [[nodiscard]] Leg& other(const Dialog& dialog, const Leg& than) {
    return leg(dialog.other(than));
  }
  [[nodiscard]] const Leg& other(const Dialog& dialog, const Leg& than) const {
    return leg(dialog.other(than));
  }
  // Whether media flows between the two legs. A leg of several dialogs has media in one of them.
  [[nodiscard]] bool is_joined(const Dialog& dialog) const {
    return leg(dialog.a).peer == dialog.b;
  }
  // The leg with this tag; null: none.
  [[nodiscard]] const Leg* find(std::string_view tag) const;
  [[nodiscard]] Leg* find(std::string_view tag);
  [[nodiscard]] bool has_answered(const Leg& leg) const;
  [[nodiscard]] bool answered() const;
  [[nodiscard]] bool is_in_dialog(const Leg& leg) const;
  // The branch that uses the ports of `leg`; null if none.
  [[nodiscard]] const Leg* user_of(const Leg& leg) const;
  // Whether packets of `leg`, which has a peer, are expected: it sends and its peer receives.
  [[nodiscard]] bool expects(const Leg& leg, std::size_t index) const;
  // Whether the dialog has media section `index`: in force, or in an offer that waits.
  [[nodiscard]] bool uses(const Dialog& dialog, std::size_t index) const;
  // Removes legs that are in no dialog and numbers the others anew.
  void remove_unused_legs();
};

// For logs and tests, in one line: each leg with its tags, ports and media sections, then each
// dialog.
[[nodiscard]] std::string print(const CallState& state);

}  // namespace millrace

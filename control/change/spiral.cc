// SPDX-License-Identifier: BSD-3-Clause
// Spirals: a request that passes the relay more than once, e.g. because the proxy sends it to
// itself (RFC 3261 section 6). All passes have the same call-id and tags. Each is a dialog of its
// own, whose media are joined inside the relay (party_media.h). The SDP tells the passes apart:
// that of a later pass names the port that the pass before has printed, in answers the other way
// round. An SDP with ICE does not start a pass: ICE may name the relay's address by itself.

#include <algorithm>

#include "control/change/change.h"

namespace millrace {

// The leg of this call whose port the SDP names; null if none.
const Leg* Change::find_named(const Request& request, const sdp::Session& session) const {
  if (state_.legs.empty() || request.latching.replacement()) return nullptr;
  for (const sdp::Media& media : session.sections) {
    if (!media.connection || !media.ice_ufrag.empty() ||
        !context_.realms.is_own(*media.connection)) {
      continue;
    }
    const auto taken = context_.realms.find_taken({*media.connection, media.port});
    if (!taken) continue;
    const auto found = std::ranges::find_if(
        state_.legs, [&](const Leg& leg) { return leg.has_port(*taken, context_.realms); });
    if (found != state_.legs.end()) return &*found;
  }
  return nullptr;
}

// The leg of the next or previous pass that `leg` is joined to inside; null if none.
const Leg* Change::joined_inside(const Leg& leg) const {
  const auto found = std::ranges::find_if(state_.legs, [&](const Leg& other) {
    return leg.names_port_of(other, context_.realms) || other.names_port_of(leg, context_.realms);
  });
  return found == state_.legs.end() ? nullptr : &*found;
}

// The party `tag` in the pass of an SDP that names a port of `named`; `peer_tag` is the other
// party's. `tag`'s leg may be without a tag yet, as may be its peer's.
Change::Parties Change::find_in_pass(const Leg* named, std::string_view tag,
                                     std::string_view peer_tag) {
  Parties result;
  for (const Dialog& dialog : state_.dialogs) {
    for (const LegId id : {dialog.a, dialog.b}) {
      Leg& own = state_.leg(id);
      Leg& peer = state_.other(dialog, own);
      const bool fits = own.has(tag) || (own.tags.empty() && peer.has(peer_tag));
      if (!fits || joined_inside(own) != named) continue;
      if (own.has(tag)) result.sender = &own;
      if (peer.has(peer_tag)) result.reader = &peer;
      if (result.sender != nullptr && result.reader != nullptr) return result;
    }
  }
  return result;
}

// Sender and reader of an offer or answer.
Change::Parties Change::find_parties(const Request& request, const sdp::Session& session,
                                     std::string_view sender, std::string_view reader) {
  const Leg* const named = find_named(request, session);
  if (named == nullptr && !state_.spiral) return {state_.find(sender), state_.find(reader)};
  state_.spiral = true;
  return find_in_pass(named, sender, reader);
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
// Spirals: a request that passes the relay more than once, e.g. because the proxy sends it to
// itself (RFC 3261 section 6). All passes have the same call-id and tags. Each is a dialog of its
// own, whose media are joined inside the relay (party_media.h). The SDP tells the passes apart:
// that of a later pass names the port that the pass before has printed, in answers the other way
// round. An SDP with ICE does not start a pass: ICE may name the relay's address by itself.

#include <algorithm>

#include "control/call/call.h"

namespace millrace {

// The leg of this call whose port the SDP names; null if none.
const Leg* Call::find_named(const Request& request, const sdp::Session& session) const {
  if (dialogs_.empty() || request.latching.replacement()) return nullptr;
  for (const sdp::Media& media : session.sections) {
    if (!media.connection || !media.ice_ufrag.empty() || !realms_.is_own(*media.connection)) {
      continue;
    }
    const auto taken = realms_.find_taken({*media.connection, media.port});
    for (const Dialog& dialog : dialogs_) {
      for (const Leg* leg : {dialog.a.get(), dialog.b.get()}) {
        if (taken && leg->has_port(*taken)) return leg;
      }
    }
  }
  return nullptr;
}

// The leg of the next or previous pass that `leg` is joined to inside; null if none.
const Leg* Call::joined_inside(const Leg& leg) const {
  for (const Dialog& dialog : dialogs_) {
    for (const Leg* other : {dialog.a.get(), dialog.b.get()}) {
      if (leg.names_port_of(*other) || other->names_port_of(leg)) return other;
    }
  }
  return nullptr;
}

// The party `tag` in the pass of an SDP that names a port of `named`; `peer_tag` is the other
// party's. `tag`'s leg may be without a tag yet, as may be its peer's.
Call::Parties Call::find_in_pass(const Leg* named, std::string_view tag,
                                 std::string_view peer_tag) const {
  Parties result;
  for (const Dialog& dialog : dialogs_) {
    for (const auto& [own, peer] : {std::pair{dialog.a, dialog.b}, std::pair{dialog.b, dialog.a}}) {
      const bool fits = own->has(tag) || (own->tags.empty() && peer->has(peer_tag));
      if (!fits || joined_inside(*own) != named) continue;
      if (own->has(tag)) result.sender = own;
      if (peer->has(peer_tag)) result.reader = peer;
      if (result.sender && result.reader) return result;
    }
  }
  return result;
}

// Sender and reader of an offer or answer.
Call::Parties Call::find_parties(const Request& request, const sdp::Session& session,
                                 std::string_view sender, std::string_view reader) {
  const Leg* const named = find_named(request, session);
  if (named == nullptr && !spiral_) return {find(sender), find(reader)};
  spiral_ = true;
  return find_in_pass(named, sender, reader);
}

}  // namespace millrace

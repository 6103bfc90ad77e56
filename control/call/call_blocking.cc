// SPDX-License-Identifier: BSD-3-Clause
// Blocks media and DTMF and silences media, of a whole call or of single parties.

#include <algorithm>
#include <utility>

#include "control/call/call.h"

namespace millrace {
namespace {

struct Change {
  bool BlockState::* what;
  bool to;
};

Change change_of(Command command) {
  switch (command) {
    case Command::block_media:
      return {&BlockState::blocked, true};
    case Command::unblock_media:
      return {&BlockState::blocked, false};
    case Command::silence_media:
      return {&BlockState::silenced, true};
    case Command::unsilence_media:
      return {&BlockState::silenced, false};
    case Command::block_dtmf:
      return {&BlockState::dtmf_blocked, true};
    default:
      return {&BlockState::dtmf_blocked, false};
  }
}

}  // namespace

// The party that a command names; null for all parties. Error texts are rtpengine's. Kamailio and
// OpenSIPS send the from-tag of such a command only if the script sets `directional`.
Result<Leg*> Call::find_target(const Request& request) const {
  const bool named =
      !request.labels.label.empty() || request.target.address || !request.from_tag.empty();
  if (request.target.all_parties || !named) return nullptr;
  const auto matches = [&](const Leg& leg) {
    if (!request.labels.label.empty()) return leg.label == request.labels.label;
    if (!request.target.address) return leg.has(request.from_tag);
    return std::ranges::any_of(leg.sections, [&](const LegMedia& media) {
      return std::ranges::any_of(media.agreed.components, [&](const auto& part) {
        return part.advertised && part.advertised->address == *request.target.address;
      });
    });
  };
  Leg* found = nullptr;
  for (const Dialog& dialog : dialogs_) {
    for (Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      if (found == nullptr && matches(*leg)) found = leg;
    }
  }
  if (found == nullptr) {
    if (!request.labels.label.empty()) return fail("No monologue matching the given label");
    if (request.target.address) return fail("Failed to match address to any tag");
    return fail("From-tag given, but no such tag exists");
  }
  const bool flows = request.to_tag.empty() || std::ranges::any_of(dialogs_, [&](const Dialog& d) {
                       return d.joins(*found) && d.other(*found).has(request.to_tag);
                     });
  if (!flows) return fail("Media flow not found (to-tag not found)");
  return found;
}

// Blocking of the call and of a party add up. A party's own is lifted only by naming the party.
Result<void> Call::set_blocking(const Request& request) {
  const auto leg = find_target(request);
  if (!leg) return std::unexpected(leg.error());
  const Change change = change_of(request.command);
  // A named reference: g++ 12 writes to a copy when `.*` follows the conditional itself.
  BlockState& block_state = *leg != nullptr ? (*leg)->block_state : block_state_;
  block_state.*change.what = change.to;
  for (Dialog& dialog : dialogs_) {
    if (dialog.is_joined()) publish(dialog);
  }
  return {};
}

// Applies the blocking to packets that `leg` sends.
void Call::block_side(const Leg& leg, const PartyMedia& described, const PartyMedia& of_other,
                      Side& side) const {
  const auto is = [&](bool BlockState::* what) {
    return block_state_.*what || leg.block_state.*what;
  };
  if (is(&BlockState::silenced)) side.blocking = Blocking::silence;
  if (is(&BlockState::blocked)) side.blocking = Blocking::drop;
  side.event_types = described.dtmf_types | of_other.dtmf_types;
  side.drop_events = is(&BlockState::dtmf_blocked);
}

}  // namespace millrace

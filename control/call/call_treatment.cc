// SPDX-License-Identifier: BSD-3-Clause
// Blocked and silenced media and DTMF, of a whole call or of single parties.

#include <algorithm>
#include <utility>

#include "control/call/call.h"

namespace millrace {
namespace {

struct Change {
  bool Call::Restraint::* what;
  bool to;
};

Change change_of(Command command) {
  using Restraint = Call::Restraint;
  switch (command) {
    case Command::block_media:
      return {&Restraint::blocked, true};
    case Command::unblock_media:
      return {&Restraint::blocked, false};
    case Command::silence_media:
      return {&Restraint::silenced, true};
    case Command::unsilence_media:
      return {&Restraint::silenced, false};
    case Command::block_dtmf:
      return {&Restraint::dtmf_blocked, true};
    default:
      return {&Restraint::dtmf_blocked, false};
  }
}

}  // namespace

// The party whose media a command is about; null for all. Errors in rtpengine's words. Kamailio and
// OpenSIPS give the from-tag of such a command only if the script says `directional`.
Result<Call::Leg*> Call::select(const Request& request) const {
  const bool named =
      !request.labels.label.empty() || request.target.address || !request.from_tag.empty();
  if (request.target.all_parties || !named) return nullptr;
  const auto matches = [&](const Leg& leg) {
    if (!request.labels.label.empty()) return leg.label == request.labels.label;
    if (!request.target.address) return leg.has(request.from_tag);
    return std::ranges::any_of(leg.sections, [&](const LegMedia& media) {
      return std::ranges::any_of(media.said.components, [&](const auto& part) {
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

// A call's own restraint and its parties' add up: what blocks a party is lifted by naming it again.
Result<void> Call::restrain(const Request& request) {
  const auto leg = select(request);
  if (!leg) return std::unexpected(leg.error());
  const Change change = change_of(request.command);
  // By a name: g++ 12 writes to a copy when `.*` follows the conditional itself.
  Restraint& restraint = *leg != nullptr ? (*leg)->restraint : restraint_;
  restraint.*change.what = change.to;
  for (Dialog& dialog : dialogs_) {
    if (dialog.is_joined()) publish(dialog);
  }
  return {};
}

// What is done to the packets that `leg` sends.
void Call::apply_restraint(const Leg& leg, const PartyMedia& said, const PartyMedia& of_other,
                           Side& side) const {
  const auto is = [&](bool Restraint::* what) { return restraint_.*what || leg.restraint.*what; };
  if (is(&Restraint::silenced)) side.treatment = Treatment::silence;
  if (is(&Restraint::blocked)) side.treatment = Treatment::block;
  if (is(&Restraint::dtmf_blocked)) side.dropped_types = said.dtmf_types | of_other.dtmf_types;
}

}  // namespace millrace

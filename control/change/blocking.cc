// SPDX-License-Identifier: BSD-3-Clause
// Blocks media and DTMF and silences media, of a whole call or of single parties.

#include <algorithm>
#include <utility>

#include "control/change/change.h"

namespace millrace {
namespace {

struct Setting {
  bool BlockState::* what;
  bool to;
};

Setting setting_of(Command command) {
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
Result<Leg*> Change::find_target(const Request& request) {
  const bool named =
      !request.labels.label.empty() || request.target.address || !request.from_tag.empty();
  if (request.target.all_parties || !named) return nullptr;
  const auto matches = [&](const Leg& leg) {
    if (!request.labels.label.empty()) return leg.label == request.labels.label;
    if (!request.target.address) return leg.has(request.from_tag);
    return std::ranges::any_of(leg.sections, [&](const LegMedia& media) {
      return std::ranges::any_of(media.agreed.components, [&](const auto& part) {
        return part.known && part.address == *request.target.address;
      });
    });
  };
  Leg* found = nullptr;
  for (const Dialog& dialog : state_.dialogs) {
    for (const LegId id : {dialog.a, dialog.b}) {
      if (found == nullptr && matches(state_.leg(id))) found = &state_.leg(id);
    }
  }
  if (found == nullptr) {
    if (!request.labels.label.empty()) return fail("No monologue matching the given label");
    if (request.target.address) return fail("Failed to match address to any tag");
    return fail("From-tag given, but no such tag exists");
  }
  const bool flows =
      request.to_tag.empty() || std::ranges::any_of(state_.dialogs, [&](const Dialog& d) {
        return d.joins(*found) && state_.other(d, *found).has(request.to_tag);
      });
  if (!flows) return fail("Media flow not found (to-tag not found)");
  return found;
}

// Blocking of the call and of a party add up. A party's own is lifted only by naming the party.
Result<void> Change::set_blocking(const Request& request) {
  const auto leg = find_target(request);
  if (!leg) return std::unexpected(leg.error());
  const Setting setting = setting_of(request.command);
  // A named reference: g++ 12 writes to a copy when `.*` follows the conditional itself.
  BlockState& block_state = *leg != nullptr ? (*leg)->block_state : state_.block_state;
  block_state.*setting.what = setting.to;
  return {};
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
// Candidates that a party sends after its SDP (trickle ICE, RFC 8840) become hints.

#include <algorithm>
#include <iterator>

#include "control/change/change.h"

namespace millrace {
namespace {

// A fragment may overtake the SDP that it belongs to.
constexpr std::chrono::seconds kEarly{3};
constexpr std::size_t kMaxEarly = 8;

}  // namespace

std::size_t Change::trickle(const Request& request, std::vector<sdp::FragmentMedia> fragment) {
  const auto tag = request.command == Command::answer ? request.to_tag : request.from_tag;
  if (Leg* const leg = state_.find(tag)) return add_candidates(*leg, fragment);
  if (state_.early.size() == kMaxEarly) state_.early.erase(state_.early.begin());
  state_.early.push_back({std::string(tag), now_, std::move(fragment)});
  return 0;
}

void Change::apply_early(Leg& leg) {
  std::erase_if(state_.early, [&](const CallState::Early& each) {
    const bool in_time = now_ - each.at <= kEarly;
    if (in_time && leg.has(each.tag)) std::ignore = add_candidates(leg, each.sections);
    return !in_time || leg.has(each.tag);
  });
}

// Returns how many addresses were new.
std::size_t Change::add_candidates(Leg& leg, const std::vector<sdp::FragmentMedia>& fragment) {
  std::size_t added = 0;
  for (std::size_t k = 0; k < fragment.size(); ++k) {
    const std::string_view mid = fragment[k].mid;
    // The fragment may belong to the offer that waits, or to what is in force: its ICE session, the
    // ufrag, decides.
    std::size_t more = 0;
    for (std::size_t i = 0; i < leg.sections.size(); ++i) {
      const auto add = [&](PartyMedia& media) {
        if (mid.empty() ? i != k : mid != media.mid) return;
        more = std::max(
            more, millrace::add_candidates(media, fragment[k], realm_of(leg), context_.realms));
      };
      add(leg.sections[i].agreed);
      if (leg.proposed && i < leg.proposed->sections.size()) add(leg.proposed->sections[i]);
    }
    added += more;
  }
  return added;
}

}  // namespace millrace

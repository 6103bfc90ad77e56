// SPDX-License-Identifier: BSD-3-Clause
// Candidates that a party sends after its SDP (trickle ICE, RFC 8840) become hints.

#include <algorithm>
#include <iterator>

#include "control/call/call.h"

namespace millrace {
namespace {

// A fragment may overtake the SDP that it belongs to.
constexpr std::chrono::seconds kEarly{3};
constexpr std::size_t kMaxEarly = 8;

}  // namespace

std::size_t Call::trickle(const Request& request, std::vector<sdp::FragmentMedia> fragment,
                          Clock::time_point now) {
  const auto tag = request.command == Command::answer ? request.to_tag : request.from_tag;
  if (const auto leg = find(tag)) return add_candidates(*leg, fragment);
  if (early_.size() == kMaxEarly) early_.erase(early_.begin());
  early_.push_back({std::string(tag), now, std::move(fragment)});
  return 0;
}

void Call::apply_early(Leg& leg, Clock::time_point now) {
  std::erase_if(early_, [&](const Early& each) {
    const bool in_time = now - each.at <= kEarly;
    if (in_time && leg.has(each.tag)) std::ignore = add_candidates(leg, each.sections);
    return !in_time || leg.has(each.tag);
  });
}

// Returns how many addresses were new.
std::size_t Call::add_candidates(Leg& leg, const std::vector<sdp::FragmentMedia>& fragment) {
  std::size_t added = 0;
  for (std::size_t k = 0; k < fragment.size(); ++k) {
    const std::string_view mid = fragment[k].mid;
    // The fragment may belong to the offer that waits, or to what is in force: its ICE session, the
    // ufrag, decides.
    std::size_t more = 0;
    for (std::size_t i = 0; i < leg.sections.size(); ++i) {
      const auto add = [&](PartyMedia& media) {
        if (mid.empty() ? i != k : mid != media.mid) return;
        more = std::max(more, millrace::add_candidates(media, fragment[k], *leg.realm, realms_));
      };
      add(leg.sections[i].agreed);
      if (leg.proposed && i < leg.proposed->sections.size()) add(leg.proposed->sections[i]);
    }
    added += more;
    if (more > 0) republish(leg, nullptr);
  }
  return added;
}

}  // namespace millrace

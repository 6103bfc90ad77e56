// SPDX-License-Identifier: BSD-3-Clause
// Candidates that a party names after its SDP (trickle ICE, RFC 8840): it may be heard from there.

#include <algorithm>
#include <iterator>

#include "control/call/call.h"

namespace millrace {
namespace {

// A fragment may overtake the SDP that it belongs to.
constexpr std::chrono::seconds kEarly{3};
constexpr std::size_t kMostEarly = 8;

}  // namespace

std::size_t Call::trickle(const Request& request, std::vector<sdp::FragmentMedia> news,
                          Clock::time_point now) {
  const auto tag = request.command == Command::answer ? request.to_tag : request.from_tag;
  if (const auto leg = find(tag)) return add_candidates(*leg, news);
  if (early_.size() == kMostEarly) early_.erase(early_.begin());
  early_.push_back({std::string(tag), now, std::move(news)});
  return 0;
}

void Call::take_early(Leg& leg, Clock::time_point now) {
  std::erase_if(early_, [&](const Early& each) {
    const bool in_time = now - each.at <= kEarly;
    if (in_time && leg.has(each.tag)) std::ignore = add_candidates(leg, each.sections);
    return !in_time || leg.has(each.tag);
  });
}

// How many addresses were new.
std::size_t Call::add_candidates(Leg& leg, const std::vector<sdp::FragmentMedia>& news) {
  std::size_t added = 0;
  for (std::size_t k = 0; k < news.size(); ++k) {
    const auto at =
        news[k].mid.empty()
            ? leg.sections.begin() + static_cast<std::ptrdiff_t>(std::min(k, leg.sections.size()))
            : std::ranges::find(
                  leg.sections, news[k].mid,
                  [](const LegMedia& media) -> std::string_view { return media.said.mid; });
    if (at == leg.sections.end()) continue;
    const std::size_t more = millrace::add_candidates(at->said, news[k], *leg.realm, realms_);
    added += more;
    for (Dialog& dialog : dialogs_) {
      const bool joined = dialog.joins(leg) && leg.peer == &dialog.other(leg);
      if (more > 0 && joined) publish(dialog, static_cast<std::size_t>(at - leg.sections.begin()));
    }
  }
  return added;
}

}  // namespace millrace

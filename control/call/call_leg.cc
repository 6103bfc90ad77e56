// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/call/call.h"

namespace millrace {

bool Call::Leg::has(std::string_view tag) const {
  return std::ranges::any_of(tags, [&](const Text& own) { return own == tag; });
}

bool Call::Leg::has_room_for(std::string_view tag) const {
  return tags.size() < kMaxTags || has(tag);
}

void Call::Leg::add(std::string_view tag) {
  if (!tag.empty() && !has(tag)) tags.emplace_back(tag);
}

void Call::Leg::stamp(const Moment& now) {
  if (!created.is_set()) created = now;
  for (LegMedia& media : sections) {
    if (!media.created.is_set()) media.created = now;
  }
}

std::ptrdiff_t Call::Leg::port_pairs() const {
  return std::ranges::count_if(sections,
                               [](const LegMedia& media) { return media.ports != nullptr; });
}

const PartyMedia& Call::Leg::described(std::size_t index) const {
  static const PartyMedia absent;
  return index < sections.size() ? sections[index].described : absent;
}

const PortLease* Call::Leg::ports(std::size_t index) const {
  return index < sections.size() ? sections[index].ports.get() : nullptr;
}

std::optional<IpAddress> Call::Leg::address() const {
  for (const LegMedia& media : sections) {
    if (media.ports) return media.ports->address();
  }
  return std::nullopt;
}

void Call::Leg::apply_sdp(std::vector<PartyMedia> described, const Request& request) {
  if (sections.size() < described.size()) sections.resize(described.size());
  for (std::size_t i = 0; i < described.size(); ++i) {
    sections[i].described = std::move(described[i]);
  }
  asymmetric = request.latching.asymmetric;
  strict_source = request.latching.strict_source;
  media_handover = request.latching.media_handover;
  nat_wait = request.latching.nat_wait;
  nat_punch = request.latching.nat_punch;
  if (!request.labels.label.empty()) label = request.labels.label;
  if (!request.latching.reset) return;
  for (LegMedia& media : sections) {
    for (auto& part : media.described.components) part.moved = true;
  }
}

sdp::Origin* Call::Leg::origin_for(const Request& request) {
  if (request.edits.origin.empty()) return nullptr;
  if (!origin) origin = std::make_unique<sdp::Origin>();
  return origin.get();
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/leg/leg.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

using State = PartyMedia::State;

}  // namespace

bool Leg::has(std::string_view tag) const {
  return std::ranges::any_of(tags, [&](const Text& own) { return own == tag; });
}

bool Leg::has_room_for(std::string_view tag) const { return tags.size() < kMaxTags || has(tag); }

void Leg::add(std::string_view tag) {
  if (!tag.empty() && !has(tag)) tags.emplace_back(tag);
}

void Leg::stamp(const Moment& now) {
  if (!created.is_set()) created = now;
  for (LegMedia& media : sections) {
    if (!media.created.is_set()) media.created = now;
  }
}

std::ptrdiff_t Leg::port_pairs() const {
  return std::ranges::count_if(
      sections, [](const LegMedia& media) { return static_cast<bool>(media.ports); });
}

std::size_t Leg::lines() const {
  std::size_t count = sections.size();
  while (count > 0 && sections[count - 1].agreed.state == State::absent) --count;
  return count;
}

std::size_t Leg::lines_offered_to(const Leg& reader) const {
  const bool proposes = proposed && proposed->to == reader.id;
  return proposes ? std::max(proposed->sections.size(), lines()) : lines();
}

bool Leg::is_retyped(std::size_t index) const {
  return index < sections.size() && sections[index].retyped;
}

// A section that only a proposal has follows that, and nothing is known of its answerer. Of a
// section that is in force, the proposal is told beside it (Side::proposed).
const PartyMedia& Leg::current(const Leg& other, std::size_t index) const {
  const PartyMedia& own = agreed(index);
  if (own.relayed() && other.agreed(index).relayed()) return own;
  if (const PartyMedia* const media = proposed_to(other, index)) return *media;
  return other.proposed_to(*this, index) != nullptr ? kAbsent : own;
}

std::optional<IpAddress> Leg::address(const Realms& realms) const {
  for (const LegMedia& media : sections) {
    if (media.ports) return realms.at(realm).address_of(media.ports.rtp());
  }
  return std::nullopt;
}

namespace {

LegOptions options_of(const Request& request) {
  return {.asymmetric = request.latching.asymmetric,
          .strict_source = request.latching.strict_source,
          .media_handover = request.latching.media_handover,
          .nat_wait = request.latching.nat_wait,
          .nat_punch = request.latching.nat_punch};
}

// If the m= line has RTP of another type now, streams of the former one are not for its port.
void replace(LegMedia& media, PartyMedia&& described) {
  const PartyMedia& before = media.agreed;
  const bool both = before.state == State::live && described.state == State::live;
  media.retyped = both && before.rtp && described.rtp && before.type != described.type;
  media.agreed = std::move(described);
}

void reopen(Descriptions& sections) {
  for (PartyMedia& media : sections) {
    for (auto& part : media.components) part.moved = true;
  }
}

}  // namespace

void Leg::agree(Descriptions described, const Request& request) {
  if (request.latching.reset) reopen(described);
  if (sections.size() < described.size()) sections.resize(described.size());
  for (std::size_t i = 0; i < described.size(); ++i) replace(sections[i], std::move(described[i]));
  options = options_of(request);
  if (!request.labels.label.empty()) label = request.labels.label;
}

void Leg::propose(const Leg& to, Descriptions described, const Request& request) {
  if (request.latching.reset) {
    reopen(described);
    // The proxy's order, whether or not the offer is accepted.
    for (LegMedia& media : sections) {
      for (auto& part : media.agreed.components) part.moved = true;
    }
  }
  for (std::size_t i = 0; i < std::min(described.size(), sections.size()); ++i) {
    const bool signalled = described[i].state != State::absent && described[i].signalled;
    if (signalled) sections[i].agreed.signalled = true;
  }
  proposed.ensure() = {to.id, std::move(described), options_of(request)};
  if (!request.labels.label.empty()) label = request.labels.label;
}

void Leg::settle(const Leg& answerer, const Lines& answered) {
  if (!proposed || proposed->to != answerer.id) return;
  bool waits = false;
  for (std::size_t i = 0; i < proposed->sections.size(); ++i) {
    PartyMedia& media = proposed->sections[i];
    if (media.state == State::absent) continue;
    if (answered[i]) {
      replace(sections[i], std::move(media));
      media = {};
    } else {
      waits = true;
    }
  }
  options = proposed->options;
  if (!waits) proposed.reset();
}

void Leg::trim() {
  const std::size_t proposed_lines = proposed ? proposed->sections.size() : 0;
  while (sections.size() > proposed_lines && !sections.back().ports &&
         sections.back().agreed.state == State::absent) {
    sections.pop_back();
  }
}

bool Leg::withdraw_proposal(const Leg& reader) {
  if (!proposed || proposed->to != reader.id) return false;
  proposed.reset();
  return true;
}

sdp::Origin* Leg::origin_for(const Request& request) {
  if (request.edits.origin.empty()) return nullptr;
  return &origin.ensure();
}

bool Leg::shares_ports(const Leg& other) const {
  for (std::size_t i = 0; i < std::min(sections.size(), other.sections.size()); ++i) {
    if (sections[i].ports && sections[i].ports == other.sections[i].ports) return true;
  }
  return false;
}

bool Leg::has_port(const Endpoint& endpoint, const Realms& realms) const {
  return std::ranges::any_of(sections, [&](const LegMedia& media) {
    const LocalPort rtp = media.ports.rtp();
    return media.ports && rtp.port == endpoint.port &&
           realms.at(realm).address_of(rtp) == endpoint.address;
  });
}

bool Leg::names_port_of(const Leg& other, const Realms& realms) const {
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const PartyMedia::Component& part = latest(i).components[0];
    if (part.inside && other.has_port({part.address, part.port}, realms)) return true;
  }
  return false;
}

// Counters of the party on one port, past flows included. `flow` holds those of the current flow.
FlowReport Leg::total_flow(std::size_t index, const FlowReport& flow, std::size_t component,
                           PastFlow::Clock::time_point now) const {
  const auto& past = sections[index].past;
  return past ? past->ports[component].merge(flow, now) : flow;
}

// RTCP quality of the party, past flows included. `now_seen` is that of the current flows.
std::optional<QualityReport> Leg::quality(std::size_t index,
                                          const std::optional<QualityReport>& now_seen,
                                          PastFlow::Clock::time_point now) const {
  const auto& past = sections[index].past;
  return past && past->quality ? past->quality->merge(now_seen, now) : now_seen;
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
// Phones that answer one offer: the branches of a fork that the proxy has not told apart. All were
// told the same ports, so their parties hold the ports together, and one of them at a time is heard
// there: the one whose leg has a peer.

#include <algorithm>
#include <array>
#include <utility>

#include "control/call/call.h"

namespace millrace {

bool Call::Leg::shares_ports(const Leg& other) const {
  for (std::size_t i = 0; i < std::min(sections.size(), other.sections.size()); ++i) {
    if (sections[i].ports && sections[i].ports == other.sections[i].ports) return true;
  }
  return false;
}

// Who has media by the ports of `leg`: itself, or another branch; null: nobody.
Call::Leg* Call::user_of(const Leg& leg) const {
  for (const Dialog& dialog : dialogs_) {
    for (Leg* each : {dialog.a.get(), dialog.b.get()}) {
      if (each->peer != nullptr && (each == &leg || each->shares_ports(leg))) return each;
    }
  }
  return nullptr;
}

// A tag that nobody has answered with yet: another phone, not another name of the one that has. By
// default that is known only once the one has answered finally (RFC 3261 section 13.2.2.4).
bool Call::starts_branch(const Request& request, const Dialog& answered) const {
  if (!answered.answered || request.to_tag.empty() || find(request.to_tag)) return false;
  return request.new_branch || (answered.final && !request.sip.provisional);
}

// A dialog of `reader` with a party that was told what the other one of `like` was told.
Call::Dialog Call::branch_of(const Dialog& like, const Leg& reader, const Request& request) const {
  const Leg& first = like.other(reader);
  auto leg = std::make_shared<Leg>();
  leg->via_branch = request.via_branch.empty() ? first.via_branch : Text(request.via_branch);
  leg->realm = first.realm;
  leg->preferred = first.preferred;
  if (first.origin) leg->origin = std::make_unique<sdp::Origin>(*first.origin);
  leg->sections.resize(first.sections.size());
  // One that has refused a media has let go of its ports, which does not bind the others.
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.joins(reader)) continue;
    const Leg& other = dialog.other(reader);
    if (&other != &first && !other.shares_ports(first)) continue;
    for (std::size_t i = 0; i < std::min(leg->sections.size(), other.sections.size()); ++i) {
      if (!leg->sections[i].ports) leg->sections[i].ports = other.sections[i].ports;
    }
  }
  Dialog result;
  const bool by_callee = like.a.get() == &first;
  result.a = by_callee ? leg : like.a;
  result.b = by_callee ? like.b : leg;
  result.mux = like.mux;
  result.via_branch = request.via_branch.empty() ? like.via_branch : Text(request.via_branch);
  return result;
}

// A provisional response that has been overtaken: it takes the media from nobody who has answered
// finally (RFC 3261 section 13.2.2.4: forks may go on ringing for a while).
bool Call::comes_late(const Request& request, const Dialog& dialog, const Leg& reader) const {
  const bool provisional =
      request.sip.provisional || (request.sip.code != 0 && request.sip.code < kFinalResponse);
  if (!provisional) return false;
  return std::ranges::any_of(dialogs_, [&](const Dialog& other) {
    if (!other.final || !other.joins(reader) || !other.is_joined()) return false;
    return &other != &dialog || !other.other(reader).has(request.to_tag);
  });
}

// Takes the media from who has it by the ports of `leg`. If that is `leg` itself, its own flows
// stay for whom it is joined to next.
void Call::detach(Leg& leg) {
  Leg* const user = user_of(leg);
  if (user == nullptr) return;
  Leg& peer = *std::exchange(user->peer, nullptr);
  peer.peer = nullptr;
  withdraw(peer);
  if (user != &leg) withdraw(*user);
}

void Call::withdraw(Leg& leg) {
  for (std::size_t i = 0; i < leg.sections.size(); ++i) withdraw(leg, i);
}

// Precondition: `leg` has the media of its ports, or nobody has. What was counted stays with it.
void Call::withdraw(Leg& leg, std::size_t index) {
  const PortLease* const ports = leg.ports(index);
  if (ports == nullptr) return;
  const auto now = PastFlow::Clock::now();
  if (const auto quality = leg.quality(index, dataplane_.read_quality(ports->rtp()), now)) {
    leg.sections[index].keep().quality = {*quality, now};
  }
  for (const std::size_t component : {0, 1}) withdraw(leg, index, component, now);
}

// The same of one port. The quality of the pair goes on with the other one.
void Call::withdraw(Leg& leg, std::size_t index, std::size_t component,
                    PastFlow::Clock::time_point now) {
  const PortLease& ports = *leg.ports(index);
  const LocalPort local = component == 0 ? ports.rtp() : ports.rtcp();
  const FlowReport flow = dataplane_.read(local);
  if (!flow.active) return;
  const PastFlow past{leg.heard(index, component, flow, now), now};
  dataplane_.withdraw(local);
  if (!past.empty()) leg.sections[index].keep().ports[component] = past;
}

PastMedia& Call::LegMedia::keep() {
  if (!past) past = std::make_unique<PastMedia>();
  return *past;
}

// What a component's port has heard from the party in all, given what its flow has.
FlowReport Call::Leg::heard(std::size_t index, std::size_t component, const FlowReport& flow,
                            PastFlow::Clock::time_point now) const {
  const auto& past = sections[index].past;
  return past ? past->ports[component].with(flow, now) : flow;
}

// The same of the RTCP quality, given that of its pair of ports.
std::optional<QualityReport> Call::Leg::quality(std::size_t index,
                                                const std::optional<QualityReport>& now_seen,
                                                PastFlow::Clock::time_point now) const {
  const auto& past = sections[index].past;
  return past && past->quality ? past->quality->with(now_seen, now) : now_seen;
}

}  // namespace millrace

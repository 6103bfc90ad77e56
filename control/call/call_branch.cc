// SPDX-License-Identifier: BSD-3-Clause
// Fork branches that answer one offer, where the proxy made no offer per branch. All phones got the
// same ports, so their legs share the leases. One phone at a time has media on these ports: the one
// whose leg has a peer.

#include <algorithm>
#include <array>
#include <utility>

#include "control/call/call.h"

namespace millrace {

// The branch that uses `leg`'s ports; null if none.
Leg* Call::user_of(const Leg& leg) const {
  for (const Dialog& dialog : dialogs_) {
    for (Leg* each : {dialog.a.get(), dialog.b.get()}) {
      if (each->peer != nullptr && (each == &leg || each->shares_ports(leg))) return each;
    }
  }
  return nullptr;
}

// A new To tag starts a new fork branch. By default only after a final answer: before that, it
// counts as another tag of the same party (RFC 3261 section 13.2.2.4).
bool Call::starts_branch(const Request& request, const Dialog& answered) const {
  if (!answered.answered || request.to_tag.empty() || find(request.to_tag)) return false;
  return request.new_branch || (answered.final && !request.sip.provisional);
}

// A new dialog of `reader` with a party that got the same SDP as the other party of `like`.
Dialog Call::branch_of(const Dialog& like, const Leg& reader, const Request& request) const {
  const Leg& first = like.other(reader);
  auto leg = std::make_shared<Leg>();
  leg->via_branch = request.via_branch.empty() ? first.via_branch : Text(request.via_branch);
  leg->realm = first.realm;
  leg->preferred = first.preferred;
  if (first.origin) leg->origin = std::make_unique<sdp::Origin>(*first.origin);
  // A branch that refused a media section has returned its ports. The other branches still have
  // them.
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.joins(reader)) continue;
    const Leg& other = dialog.other(reader);
    if (&other != &first && !other.shares_ports(first)) continue;
    if (leg->sections.size() < other.sections.size()) leg->sections.resize(other.sections.size());
    for (std::size_t i = 0; i < other.sections.size(); ++i) {
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

// A provisional response that arrives after another branch's final answer does not take the media
// from that branch (RFC 3261 section 13.2.2.4: other branches may continue to ring).
bool Call::is_overtaken(const Request& request, const Dialog& dialog, const Leg& reader) const {
  if (!request.sip.is_provisional()) return false;
  return std::ranges::any_of(dialogs_, [&](const Dialog& other) {
    if (!other.final || !other.joins(reader) || !other.is_joined()) return false;
    return &other != &dialog || !other.other(reader).has(request.to_tag);
  });
}

// Takes the media from the branch that uses `leg`'s ports. If that is `leg` itself, its own flows
// stay for its next peer.
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

// Keeps the counters in `leg`. Precondition: no other branch uses the ports of `leg`.
void Call::withdraw(Leg& leg, std::size_t index) {
  const PortLease* const ports = leg.ports(index);
  if (ports == nullptr) return;
  const auto now = PastFlow::Clock::now();
  if (const auto quality = leg.quality(index, dataplane_.read_quality(ports->rtp()), now)) {
    leg.sections[index].ensure_past().quality = {*quality, now};
  }
  for (const std::size_t component : {0U, 1U}) withdraw(leg, index, component, now);
}

// Withdraws one port. RTCP quality of the pair continues on the other port.
void Call::withdraw(Leg& leg, std::size_t index, std::size_t component,
                    PastFlow::Clock::time_point now) {
  const PortLease& ports = *leg.ports(index);
  const LocalPort local = component == 0 ? ports.rtp() : ports.rtcp();
  const FlowReport flow = dataplane_.read(local);
  if (!flow.active) return;
  const PastFlow past{leg.total_flow(index, flow, component, now), now};
  dataplane_.withdraw(local);
  if (!past.empty()) leg.sections[index].ensure_past().ports[component] = past;
}

}  // namespace millrace

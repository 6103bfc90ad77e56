// SPDX-License-Identifier: BSD-3-Clause
// Fork branches that answer one offer, where the proxy made no offer per branch. All phones got the
// same ports, so their legs have the same ports. One phone at a time has media on these ports: the
// one whose leg has a peer.

#include <algorithm>
#include <utility>

#include "control/change/change.h"

namespace millrace {

// A new To tag starts a new fork branch. By default only after a final answer: before that, it
// counts as another tag of the same party (RFC 3261 section 13.2.2.4).
bool Change::starts_branch(const Request& request, const Dialog& answered) const {
  if (!answered.answered || request.to_tag.empty() || state_.find(request.to_tag) != nullptr)
    return false;
  return request.new_branch || (answered.final && !request.sip.provisional);
}

// A new dialog of `reader` with a party that got the same SDP as the other party of `like`.
Dialog& Change::add_branch(const Dialog& like, LegId reader, const Request& request) {
  Leg branch;
  const Leg& offerer = state_.leg(reader);
  const Leg& first = state_.other(like, offerer);
  branch.via_branch = request.via_branch.empty() ? first.via_branch : Text(request.via_branch);
  branch.realm = first.realm;
  branch.preferred = first.preferred;
  branch.origin = first.origin;
  // A branch that refused a media section has returned its ports. The other branches still have
  // them.
  for (const Dialog& dialog : state_.dialogs) {
    if (!dialog.joins(offerer)) continue;
    const Leg& other = state_.other(dialog, offerer);
    if (other.id != first.id && !other.shares_ports(first)) continue;
    if (branch.sections.size() < other.sections.size()) {
      branch.sections.resize(other.sections.size());
    }
    for (std::size_t i = 0; i < other.sections.size(); ++i) {
      if (!branch.sections[i].ports) branch.sections[i].ports = other.sections[i].ports;
    }
  }
  Dialog result;
  result.mux = like.mux;
  result.via_branch = request.via_branch.empty() ? like.via_branch : Text(request.via_branch);
  const bool by_callee = like.a == first.id;
  Leg& added = state_.add_leg();
  branch.id = added.id;
  added = std::move(branch);
  result.a = by_callee ? added.id : reader;
  result.b = by_callee ? reader : added.id;
  return state_.dialogs.emplace_back(std::move(result));
}

// A provisional response that arrives after another branch's final answer does not take the media
// from that branch (RFC 3261 section 13.2.2.4: other branches may continue to ring).
bool Change::is_overtaken(const Request& request, const Dialog& dialog, const Leg& reader) const {
  if (!request.sip.is_provisional()) return false;
  return std::ranges::any_of(state_.dialogs, [&](const Dialog& other) {
    if (!other.final || !other.joins(reader) || !state_.is_joined(other)) return false;
    return &other != &dialog || !state_.other(other, reader).has(request.to_tag);
  });
}

// The last answer wins: media of the previous peers stops.
void Change::join(const Dialog& dialog) {
  Leg &a = state_.leg(dialog.a), &b = state_.leg(dialog.b);
  if (a.peer == b.id) return;
  detach(a);
  detach(b);
  a.peer = b.id;
  b.peer = a.id;
}

// Takes the media from the branch that uses the ports of `leg`.
void Change::detach(const Leg& leg) {
  const Leg* const user = state_.user_of(leg);
  if (user == nullptr) return;
  state_.leg(user->peer).peer = kNoLeg;
  state_.leg(user->id).peer = kNoLeg;
}

// Joins a leg that lost its peer to another leg of its dialogs, answered dialogs first.
void Change::rejoin(const Leg& leg) {
  std::vector<PortPair> used;  // of joined legs, sorted
  for (const Leg& each : state_.legs) {
    if (!each.has_peer()) continue;
    for (const LegMedia& media : each.sections) {
      if (media.ports) used.push_back(media.ports);
    }
  }
  const auto key = [](PortPair ports) {
    return std::pair(ports.rtp().address, ports.rtp().port.number());
  };
  std::ranges::sort(used, {}, key);
  const auto is_free = [&](const Leg& other) {
    return !other.has_peer() && std::ranges::none_of(other.sections, [&](const LegMedia& media) {
      return media.ports && std::ranges::binary_search(used, key(media.ports), {}, key);
    });
  };
  const Dialog* best = nullptr;
  for (const Dialog& dialog : state_.dialogs) {
    if (!dialog.joins(leg) || !is_free(state_.other(dialog, leg))) continue;
    if (best == nullptr || dialog.answered || !best->answered) best = &dialog;
  }
  if (best != nullptr) join(*best);
}

}  // namespace millrace

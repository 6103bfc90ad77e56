// SPDX-License-Identifier: BSD-3-Clause
// Claims on the media of rtpproxy's sessions. Two proxies may share one relay: an m= line ends when
// all claims on it are released.

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "control/call/call.h"

namespace millrace {

void Call::add_claims(Dialog& dialog, const Leg& sender, const Request& request) {
  if (request.claim == Claim::none) return;
  for (const NamedMedia& media : request.sections) {
    if (dialog.claims.size() < media.index) dialog.claims.resize(media.index);
    Claims& claims = dialog.claims[media.index - 1];
    if (request.claim == Claim::weak) {
      (dialog.a.get() == &sender ? claims.by_a : claims.by_b) = true;
    } else if (request.command == Command::offer) {
      claims.strong = true;
    }
  }
}

// Releases the claims that `request` names, `from` being its first tag. False: none matches. The
// dialog is due to end with its last relayed m= line.
bool Call::release_claims(Dialog& dialog, const Request& request, const Leg* from,
                          Clock::time_point now) {
  // Without a stream in the request, the dialog is known even if all of its streams were refused.
  bool found = !request.removal.media, left = false;
  dialog.claims.resize(std::max(dialog.a->sections.size(), dialog.b->sections.size()));
  for (std::size_t i = 0; i < dialog.claims.size(); ++i) {
    if (dialog.a->ports(i) == nullptr || dialog.b->ports(i) == nullptr) continue;
    Claims& claims = dialog.claims[i];
    if (!request.removal.media || *request.removal.media == i + 1) {
      found = true;
      (request.claim != Claim::weak ? claims.strong
       : dialog.a.get() == from     ? claims.by_b
                                    : claims.by_a) = false;
      if (!claims.any()) drop_media(dialog, i);
    }
    left |= dialog.b->ports(i) != nullptr;
  }
  if (found && !left) dialog.delete_at = now;
  return found;
}

// rtpproxy has no offers and answers: each U or L sets the endpoint of one party at once. Sippy's
// B2BUA sends U only. In such a call a U answers if the stream's other party has an endpoint.
bool Call::answers_by_offer(const Request& request) const {
  if (request.claim == Claim::none || looked_up_ || request.sections.size() != 1) return false;
  const auto from = find(request.from_tag), to = find(request.to_tag);
  if (!to || from == to) return false;
  const std::size_t index = request.sections.front().index - 1;
  return std::ranges::any_of(dialogs_, [&](const Dialog& dialog) {
    if (!dialog.joins(*to)) return false;
    const Leg& other = dialog.other(*to);
    const bool offered = to->offered_to(other, index).state == PartyMedia::State::live;
    return offered && (from ? dialog.joins(*from) : other.tags.empty());
  });
}

Result<void> Call::move_ports(Leg& leg, const Request& request, Clock::time_point now) {
  const std::string_view to = request.placement.to_interface;
  const bool elsewhere =
      request.placement.by_answer && !has_answered(leg) && to != leg.realm->interface.name;
  if (!elsewhere && !request.new_ports) return {};
  std::shared_ptr<Leg> place;
  if (elsewhere) {
    auto made = make_leg(to, request.placement.to_local, leg.realm->family);
    if (!made) return std::unexpected(made.error());
    place = std::move(*made);
  }
  const Leg& at = place ? *place : leg;
  std::vector<std::shared_ptr<PortLease>> taken(leg.sections.size());
  std::optional<IpAddress> on = place ? place->preferred : leg.address();
  for (std::size_t i = 0; i < leg.sections.size(); ++i) {
    const bool named = std::ranges::count(request.sections, i + 1, &NamedMedia::index) > 0;
    if (leg.ports(i) == nullptr || !(elsewhere || named)) continue;
    taken[i] = PortLease::take(*at.realm, dataplane_, now, on);
    if (!taken[i]) return fail(std::string(reason::kOutOfPorts));
    on = taken[i]->address();
  }
  // From here on nothing fails.
  if (place) {
    leg.realm = place->realm;
    leg.preferred = place->preferred;
  }
  for (std::size_t i = 0; i < taken.size(); ++i) {
    if (!taken[i]) continue;
    if (leg.peer != nullptr) withdraw(leg, i);
    leg.sections[i].ports = std::move(taken[i]);
  }
  return {};
}

// A shared leg keeps media that another dialog uses.
void Call::drop_media(Dialog& dialog, std::size_t index) {
  for (Leg* leg : {dialog.a.get(), dialog.b.get()}) {
    if (leg->peer != nullptr && dialog.joins(*leg->peer)) withdraw(*leg, index);
    if (leg->proposed && dialog.joins(*leg->proposed->to) &&
        index < leg->proposed->sections.size()) {
      leg->proposed->sections[index] = {};
    }
    const bool shared = std::ranges::any_of(dialogs_, [&](const Dialog& other) {
      return &other != &dialog && other.joins(*leg) && other.other(*leg).ports(index) != nullptr;
    });
    if (!shared) leg->sections[index].agreed.state = PartyMedia::State::refused;
  }
  release_unused(*dialog.b);
  release_unused(*dialog.a);
}

}  // namespace millrace

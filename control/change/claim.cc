// SPDX-License-Identifier: BSD-3-Clause
// Claims on the media of rtpproxy's sessions. Two proxies may share one relay: an m= line ends when
// all claims on it are released.

#include <algorithm>
#include <string>
#include <string_view>

#include "control/change/change.h"

namespace millrace {

void Change::add_claims(Dialog& dialog, const Leg& sender, const Request& request) {
  if (request.claim == Claim::none) return;
  for (const NamedMedia& media : request.sections) {
    if (dialog.claims.size() < media.index) dialog.claims.resize(media.index);
    Claims& claims = dialog.claims[media.index - 1];
    if (request.claim == Claim::weak) {
      (dialog.a == sender.id ? claims.by_a : claims.by_b) = true;
    } else if (request.command == Command::offer) {
      claims.strong = true;
    }
  }
}

// Releases the claims that `request` names, `from` being its first tag. False: none matches. The
// dialog is due to end with its last relayed m= line.
bool Change::release_claims(Dialog& dialog, const Request& request, const Leg* from) {
  // Without a stream in the request, the dialog is known even if all of its streams were refused.
  bool found = !request.removal.media, left = false;
  const Leg &a = state_.leg(dialog.a), &b = state_.leg(dialog.b);
  dialog.claims.resize(std::max(a.sections.size(), b.sections.size()));
  for (std::size_t i = 0; i < dialog.claims.size(); ++i) {
    if (!a.ports(i) || !b.ports(i)) continue;
    Claims& claims = dialog.claims[i];
    if (!request.removal.media || *request.removal.media == i + 1) {
      found = true;
      (request.claim != Claim::weak ? claims.strong
       : &a == from                 ? claims.by_b
                                    : claims.by_a) = false;
      if (!claims.any()) drop_media(dialog, i);
    }
    left |= static_cast<bool>(b.ports(i));
  }
  if (found && !left) dialog.delete_at = now_;
  return found;
}

// rtpproxy has no offers and answers: each U or L sets the endpoint of one party at once. Sippy's
// B2BUA sends U only. In such a call a U answers if the stream's other party has an endpoint.
bool Change::answers_by_offer(const Request& request) const {
  if (request.claim == Claim::none || state_.looked_up || request.sections.size() != 1) {
    return false;
  }
  const Leg *from = state_.find(request.from_tag), *to = state_.find(request.to_tag);
  if (to == nullptr || from == to) return false;
  const std::size_t index = request.sections.front().index - 1;
  return std::ranges::any_of(state_.dialogs, [&](const Dialog& dialog) {
    if (!dialog.joins(*to)) return false;
    const Leg& other = state_.other(dialog, *to);
    const bool offered = to->offered_to(other, index).state == PartyMedia::State::live;
    return offered && (from != nullptr ? dialog.joins(*from) : other.tags.empty());
  });
}

// A shared leg keeps media that another dialog uses.
void Change::drop_media(const Dialog& dialog, std::size_t index) {
  for (const LegId id : {dialog.a, dialog.b}) {
    Leg& leg = state_.leg(id);
    if (leg.proposed && (leg.proposed->to == dialog.a || leg.proposed->to == dialog.b) &&
        index < leg.proposed->sections.size()) {
      leg.proposed->sections[index] = {};
    }
    const bool shared = std::ranges::any_of(state_.dialogs, [&](const Dialog& other) {
      return &other != &dialog && other.joins(leg) && state_.other(other, leg).ports(index);
    });
    if (!shared) leg.sections[index].agreed.state = PartyMedia::State::refused;
  }
  release_unused(state_.leg(dialog.b));
  release_unused(state_.leg(dialog.a));
}

}  // namespace millrace

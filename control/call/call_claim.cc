// SPDX-License-Identifier: BSD-3-Clause
// Claims on the media of rtpproxy's sessions. Two proxies may share one relay: an m= line ends when
// all claims on it are released.

#include <algorithm>

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

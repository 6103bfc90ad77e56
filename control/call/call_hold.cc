// SPDX-License-Identifier: BSD-3-Clause
// Who holds the sections of rtpproxy's sessions, where two proxies may share one relay: a media
// ends when all have let go of it.

#include <algorithm>

#include "control/call/call.h"

namespace millrace {

void Call::take_hold(Dialog& dialog, const Leg& sender, const Request& request) {
  if (request.claim == Claim::none) return;
  for (const NamedMedia& media : request.sections) {
    if (dialog.held.size() < media.index) dialog.held.resize(media.index);
    Held& held = dialog.held[media.index - 1];
    if (request.claim == Claim::weak) {
      (dialog.a.get() == &sender ? held.by_a : held.by_b) = true;
    } else if (request.command == Command::offer) {
      held.strongly = true;
    }
  }
}

// Lets go of the sections that `request`, which names `from` first, is about; false if there are
// none. The dialog is due to end with its last one.
bool Call::let_go(Dialog& dialog, const Request& request, const Leg* from, Clock::time_point now) {
  bool found = false, left = false;
  dialog.held.resize(std::max(dialog.a->sections.size(), dialog.b->sections.size()));
  for (std::size_t i = 0; i < dialog.held.size(); ++i) {
    if (dialog.a->ports(i) == nullptr || dialog.b->ports(i) == nullptr) continue;
    Held& held = dialog.held[i];
    if (!request.removal.media || *request.removal.media == i + 1) {
      found = true;
      (request.claim != Claim::weak ? held.strongly
       : dialog.a.get() == from     ? held.by_b
                                    : held.by_a) = false;
      if (!held.any()) drop_media(dialog, i);
    }
    left |= dialog.b->ports(i) != nullptr;
  }
  if (found && !left) dialog.delete_at = now;
  return found;
}

// What another dialog of a shared leg still uses stays with that leg.
void Call::drop_media(Dialog& dialog, std::size_t index) {
  for (Leg* leg : {dialog.a.get(), dialog.b.get()}) {
    if (leg->peer != nullptr && dialog.joins(*leg->peer)) withdraw(*leg, index);
    if (is_shared(dialog, *leg, index)) continue;
    leg->sections[index].said.state = PartyMedia::State::refused;
  }
  give_back(dialog, *dialog.b, index);
  give_back(dialog, *dialog.a, index);
}

}  // namespace millrace

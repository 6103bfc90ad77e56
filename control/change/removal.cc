// SPDX-License-Identifier: BSD-3-Clause
// Ends of dialogs.

#include <algorithm>
#include <bitset>
#include <tuple>
#include <utility>

#include "control/change/change.h"

namespace millrace {
namespace {

// Whether both tags of the request name this dialog. All passes of a spiral have the same tags.
bool names(const CallState& state, const Request& request, const Dialog& dialog) {
  const Leg &a = state.leg(dialog.a), &b = state.leg(dialog.b);
  return (a.has(request.from_tag) && b.has(request.to_tag)) ||
         (a.has(request.to_tag) && b.has(request.from_tag));
}

// Whether the call goes on without the dialogs that both tags name: another dialog is answered, and
// by a final response if one of these was. A branch that only rang does not keep the call.
bool goes_on_without(const CallState& state, const Request& request) {
  bool any = false, final = false;
  for (const Dialog& dialog : state.dialogs) {
    if (!names(state, request, dialog)) continue;
    any = true;
    final |= dialog.final;
  }
  return any && std::ranges::any_of(state.dialogs, [&](const Dialog& other) {
           return !names(state, request, other) && other.answered && !other.delete_at &&
                  (other.final || !final);
         });
}

}  // namespace

// Ends all dialogs that are due in one pass, so that each remaining leg is joined again only once.
// Ports that no remaining dialog uses are given up.
void Change::end_due() {
  std::size_t kept = 0;
  SmallVector<Dialog, 1> ended;
  for (Dialog& dialog : state_.dialogs) {
    if (dialog.delete_at && *dialog.delete_at <= now_) {
      ended.push_back(std::move(dialog));
    } else {
      if (&state_.dialogs[kept] != &dialog) state_.dialogs[kept] = std::move(dialog);
      ++kept;
    }
  }
  state_.dialogs.erase(state_.dialogs.begin() + kept, state_.dialogs.end());
  if (kept == 0) return;
  for (const Dialog& dialog : ended) {
    Leg &a = state_.leg(dialog.a), &b = state_.leg(dialog.b);
    const Leg& leaving = state_.is_in_dialog(a) ? b : a;
    if (state_.ended.size() == CallState::kMaxEnded) state_.ended.erase(state_.ended.begin());
    state_.ended.push_back(
        {dialog.via_branch, leaving.tags.empty() ? Text() : leaving.tags.back(), now_});
    std::ignore = a.withdraw_proposal(b);
    std::ignore = b.withdraw_proposal(a);
    if (!state_.is_joined(dialog)) continue;
    a.peer = b.peer = kNoLeg;
    // The next branch could not send media until now.
    state_.last_signal = std::max(state_.last_signal, *dialog.delete_at);
  }
  std::bitset<256> left;  // by LegId
  for (const Dialog& dialog : ended) {
    left.set(static_cast<std::size_t>(dialog.a)).set(static_cast<std::size_t>(dialog.b));
  }
  for (Leg& leg : state_.legs) {
    if (!left[static_cast<std::size_t>(leg.id)] || !state_.is_in_dialog(leg)) continue;
    release_unused(leg);
    if (state_.user_of(leg) == nullptr) rejoin(leg);
  }
}

// A via-branch identifies one branch of a fork. An unknown one belongs to another request (BYE) and
// ends the whole call, as with rtpengine. One of an ended branch is a late CANCEL, which must not
// end the answered branch. Both tags of a dialog end that dialog, and the call if no other answered
// one remains.
NamedDialogs named_dialogs(const CallState& state, const Request& request) {
  const Leg *from = state.find(request.from_tag), *to = state.find(request.to_tag);
  const bool one_side = request.removal.match_to_tag && !request.to_tag.empty();
  NamedDialogs result;
  if ((!request.from_tag.empty() && from == nullptr) || (one_side && to == nullptr)) return result;
  const bool one_branch =
      !request.via_branch.empty() && std::ranges::any_of(state.dialogs, [&](const Dialog& d) {
        return d.via_branch == request.via_branch;
      });
  const bool ended = !request.via_branch.empty() &&
                     std::ranges::any_of(state.ended, [&](const CallState::Ended& e) {
                       return e.via_branch == request.via_branch;
                     });
  if (!one_branch && ended) return result;
  const bool by_tags = !one_branch && !one_side && goes_on_without(state, request);
  for (std::size_t i = 0; i < state.dialogs.size(); ++i) {
    const Dialog& dialog = state.dialogs[i];
    result[i] = one_branch ? dialog.via_branch == request.via_branch
                : by_tags
                    ? names(state, request, dialog)
                    : !one_side || (dialog.joins(*to) && (from == nullptr || dialog.joins(*from)));
  }
  return result;
}

bool Change::remove(const Request& request) {
  const NamedDialogs named = named_dialogs(state_, request);
  const Leg* const from = state_.find(request.from_tag);
  const Time due = now_ + request.removal.delay.value_or(context_.timeouts.delete_delay);
  bool found = false;
  for (std::size_t i = 0; i < state_.dialogs.size(); ++i) {
    if (!named[i]) continue;
    Dialog& dialog = state_.dialogs[i];
    if (request.claim != Claim::none || request.removal.media) {
      found |= release_claims(dialog, request, from);
    } else {
      found = true;
      dialog.delete_at = std::min(dialog.delete_at.value_or(due), due);
    }
  }
  if (found) end_due();
  return found;
}

}  // namespace millrace

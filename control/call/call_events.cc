// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/call_events.h"

#include <string>

namespace millrace {
namespace {

// After signalling, latches are checked every second for this long.
constexpr std::chrono::seconds kLatchWatch{30};

std::string last_tag(const Leg& leg) {
  return leg.tags.empty() ? std::string() : std::string(leg.tags.back());
}

event::End::Dialog tags_of(const CallState& state, const Dialog& dialog) {
  return {last_tag(state.leg(dialog.a)), last_tag(state.leg(dialog.b))};
}

}  // namespace

event::End::Dialog tags_of(const CallState& state) {
  if (state.dialogs.empty()) return {};
  const Dialog* chosen = &state.dialogs.back();
  for (const Dialog& dialog : state.dialogs) {
    if (dialog.answered && state.is_joined(dialog)) chosen = &dialog;
  }
  return tags_of(state, *chosen);
}

event::End ending(const CallState& state) {
  event::End result;
  result.tags = tags_of(state);
  for (const Dialog& dialog : state.dialogs) {
    if (dialog.answered) result.dialogs.push_back(tags_of(state, dialog));
  }
  if (state.notify) {
    result.notify_socket = state.notify->socket;
    result.notify_tag = state.notify->tag;
    result.dialog_id = state.notify->dialog_id;
  }
  return result;
}

bool is_on_hold(const CallState& state) {
  bool media = false;
  for (const Dialog& dialog : state.dialogs) {
    const Leg &a = state.leg(dialog.a), &b = state.leg(dialog.b);
    if (!dialog.answered || !state.is_joined(dialog)) continue;
    for (std::size_t i = 0; i < a.sections.size(); ++i) {
      if (!a.ports(i) || !b.ports(i)) continue;
      if (state.expects(a, i) && state.expects(b, i)) return false;
      media = true;
    }
  }
  return media;
}

bool awaits_latch(const CallState& state, CallState::Time now) {
  if (now - state.last_signal > kLatchWatch) return false;
  for (const Dialog& dialog : state.dialogs) {
    if (!dialog.answered || !state.is_joined(dialog)) continue;
    for (const LegId id : {dialog.a, dialog.b}) {
      const Leg& leg = state.leg(id);
      for (std::size_t i = 0; i < leg.sections.size(); ++i) {
        const auto& notified = leg.sections[i].notified;
        if (state.expects(leg, i) && !(notified && notified->front())) return true;
      }
    }
  }
  return false;
}

}  // namespace millrace

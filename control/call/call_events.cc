// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/call/call.h"

namespace millrace {
namespace {

// After signalling, latches are checked every second for this long.
constexpr std::chrono::seconds kLatchWatch{30};

std::string last_tag(const std::vector<Text>& tags) {
  return tags.empty() ? std::string() : std::string(tags.back());
}

}  // namespace

// The dialog whose parties are joined, else the latest.
event::End::Dialog Call::tags() const {
  if (dialogs_.empty()) return {};
  const Dialog* chosen = &dialogs_.back();
  for (const Dialog& dialog : dialogs_) {
    if (dialog.answered && dialog.is_joined()) chosen = &dialog;
  }
  return {last_tag(chosen->a->tags), last_tag(chosen->b->tags)};
}

event::End Call::ending() const {
  event::End result;
  result.tags = tags();
  for (const Dialog& dialog : dialogs_) {
    if (dialog.answered) {
      result.dialogs.push_back({last_tag(dialog.a->tags), last_tag(dialog.b->tags)});
    }
  }
  result.notify_socket = notify_socket_;
  result.notify_tag = notify_tag_;
  result.dialog_id = dialog_id_;
  return result;
}

bool Call::on_hold() const {
  bool media = false;
  for (const Dialog& dialog : dialogs_) {
    const Leg &a = *dialog.a, &b = *dialog.b;
    if (!dialog.answered || a.peer != &b) continue;
    for (std::size_t i = 0; i < a.sections.size(); ++i) {
      if (a.ports(i) == nullptr || b.ports(i) == nullptr) continue;
      if (expects(a, i) && expects(b, i)) return false;
      media = true;
    }
  }
  return media;
}

std::optional<bool> Call::hold_changed() {
  // An offer takes effect with its answer.
  if (std::ranges::any_of(dialogs_, &Dialog::pending)) return std::nullopt;
  const bool hold = on_hold();
  if (std::exchange(notified_hold_, hold) == hold) return std::nullopt;
  return hold;
}

std::vector<event::Latched> Call::new_latches() {
  std::vector<event::Latched> result;
  const auto check = [&](Leg& leg, std::size_t i, std::size_t component, LocalPort local) {
    auto source = dataplane_.read(local).latched;
    auto& notified = leg.sections[i].notified;
    if (!source || (notified && source == (*notified)[component])) return;
    if (!notified) notified = std::make_unique<std::array<std::optional<Endpoint>, 2>>();
    (*notified)[component] = source;
    result.push_back({.tag = last_tag(leg.tags),
                      .media = static_cast<unsigned>(i + 1),
                      .rtcp = component == 1,
                      .local = {leg.realm->advertised(leg.ports(i)->address()), local.port},
                      .source = *source});
  };
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.is_joined()) continue;
    for (Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      for (std::size_t i = 0; i < leg->sections.size(); ++i) {
        if (leg->ports(i) == nullptr) continue;
        check(*leg, i, 0, leg->ports(i)->rtp());
        check(*leg, i, 1, leg->ports(i)->rtcp());
      }
    }
  }
  return result;
}

bool Call::awaits_latch(Clock::time_point now) const {
  if (now - last_signal_ > kLatchWatch) return false;
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.answered || !dialog.is_joined()) continue;
    for (const Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      for (std::size_t i = 0; i < leg->sections.size(); ++i) {
        const auto& notified = leg->sections[i].notified;
        if (expects(*leg, i) && !(notified && notified->front())) return true;
      }
    }
  }
  return false;
}

}  // namespace millrace

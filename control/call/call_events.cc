// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/call/call.h"

namespace millrace {
namespace {

// How long after signalling somebody looks each second who is heard.
constexpr std::chrono::seconds kLatchWatch{30};

std::string last_tag(const std::vector<Text>& tags) {
  return tags.empty() ? std::string() : std::string(tags.back());
}

}  // namespace

// The dialog whose parties are joined, else the latest.
event::End::Dialog Call::tags() const {
  if (dialogs_.empty()) return {};
  const Dialog* told = &dialogs_.back();
  for (const Dialog& dialog : dialogs_) {
    if (dialog.answered && dialog.is_joined()) told = &dialog;
  }
  return {last_tag(told->a->tags), last_tag(told->b->tags)};
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
  // What is offered holds once it is answered.
  if (std::ranges::any_of(dialogs_, &Dialog::pending)) return std::nullopt;
  const bool held = on_hold();
  if (std::exchange(told_hold_, held) == held) return std::nullopt;
  return held;
}

std::vector<event::Latched> Call::new_latches() {
  std::vector<event::Latched> result;
  const auto look = [&](Leg& leg, std::size_t i, std::size_t component, LocalPort local) {
    auto source = dataplane_.read(local).latched;
    auto& told = leg.sections[i].told;
    if (!source || (told && source == (*told)[component])) return;
    if (!told) told = std::make_unique<std::array<std::optional<Endpoint>, 2>>();
    (*told)[component] = source;
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
        look(*leg, i, 0, leg->ports(i)->rtp());
        look(*leg, i, 1, leg->ports(i)->rtcp());
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
        const auto& told = leg->sections[i].told;
        if (expects(*leg, i) && !(told && told->front())) return true;
      }
    }
  }
  return false;
}

}  // namespace millrace

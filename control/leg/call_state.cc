// SPDX-License-Identifier: BSD-3-Clause
#include "control/leg/call_state.h"

#include <algorithm>
#include <array>
#include <utility>

namespace millrace {
namespace {

using State = PartyMedia::State;

constexpr std::array kStateNames = {"absent", "refused", "bundled", "carrier", "untouched", "live"};

std::string print(const PartyMedia& media) {
  std::string result(media.type);
  result.append(" ").append(kStateNames[static_cast<std::size_t>(media.state)]);
  if (const auto advertised = media.components[0].advertised()) {
    result.append(" ").append(advertised->text());
  }
  if (!media.sends) result += " silent";
  if (!media.receives || media.on_hold) result += " holds";
  return result;
}

std::string print(const Leg& leg) {
  std::string result = std::to_string(static_cast<unsigned>(leg.id)) + "{";
  for (const Text& tag : leg.tags) result.append(std::string_view(tag)).append(" ");
  if (leg.has_peer()) result += "with " + std::to_string(static_cast<unsigned>(leg.peer));
  for (std::size_t i = 0; i < leg.sections.size(); ++i) {
    result += "; ";
    if (const PortPair ports = leg.ports(i)) {
      result += "port " + std::to_string(ports.rtp().port.number()) + " ";
    }
    result += print(leg.agreed(i));
    if (leg.proposed && i < leg.proposed->sections.size()) {
      result += ", proposes " + print(leg.proposed->sections[i]);
    }
  }
  return result + "}";
}

}  // namespace

Leg& CallState::add_leg() {
  Leg& leg = legs.emplace_back();
  leg.id = static_cast<LegId>(legs.size() - 1);
  return leg;
}

const Leg* CallState::find(std::string_view tag) const {
  if (tag.empty()) return nullptr;
  // In the order of the dialogs.
  LegId a = kNoLeg, b = kNoLeg;  // the dialogs of a fork have one leg in common
  for (const Dialog& dialog : dialogs) {
    if (std::exchange(a, dialog.a) != dialog.a && leg(dialog.a).has(tag)) return &leg(dialog.a);
    if (std::exchange(b, dialog.b) != dialog.b && leg(dialog.b).has(tag)) return &leg(dialog.b);
  }
  return nullptr;
}

Leg* CallState::find(std::string_view tag) {
  return const_cast<Leg*>(std::as_const(*this).find(tag));
}

bool CallState::has_answered(const Leg& leg) const {
  return std::ranges::any_of(dialogs, [&](const Dialog& d) { return d.answered && d.joins(leg); });
}

bool CallState::answered() const { return std::ranges::any_of(dialogs, &Dialog::answered); }

bool CallState::is_in_dialog(const Leg& leg) const {
  return std::ranges::any_of(dialogs, [&](const Dialog& dialog) { return dialog.joins(leg); });
}

const Leg* CallState::user_of(const Leg& leg) const {
  const auto found = std::ranges::find_if(legs, [&](const Leg& each) {
    return each.has_peer() && (each.id == leg.id || each.shares_ports(leg));
  });
  return found == legs.end() ? nullptr : &*found;
}

bool CallState::expects(const Leg& leg, std::size_t index) const {
  const PartyMedia &from = leg.agreed(index), &to = this->leg(leg.peer).agreed(index);
  return from.relayed() && to.relayed() && leg.ports(index) && from.sends && to.receives &&
         !to.on_hold;
}

bool CallState::uses(const Dialog& dialog, std::size_t index) const {
  const Leg &a = leg(dialog.a), &b = leg(dialog.b);
  if (a.proposed_to(b, index) != nullptr || b.proposed_to(a, index) != nullptr) return true;
  const PartyMedia &of_a = a.agreed(index), &of_b = b.agreed(index);
  const auto removed = [](const PartyMedia& media) {
    return media.state == State::refused || media.state == State::untouched;
  };
  return (of_a.relayed() || of_b.relayed()) && !removed(of_a) && !removed(of_b);
}

void CallState::remove_unused_legs() {
  if (legs.size() == 2 && dialogs.size() == 1) return;
  std::array<LegId, 2 * kMaxDialogs + 2> now;
  now.fill(kNoLeg);
  for (const Dialog& dialog : dialogs) {
    for (const LegId id : {dialog.a, dialog.b}) now[static_cast<std::size_t>(id)] = id;
  }
  std::size_t count = 0;
  for (std::size_t i = 0; i < legs.size(); ++i) {
    if (now[i] == kNoLeg) continue;
    now[i] = static_cast<LegId>(count);
    if (count != i) legs[count] = std::move(legs[i]);
    ++count;
  }
  if (count == legs.size()) return;
  legs.erase(legs.begin() + count, legs.end());
  const auto renumber = [&](LegId& id) {
    if (id != kNoLeg) id = now[static_cast<std::size_t>(id)];
  };
  for (Leg& leg : legs) {
    renumber(leg.id);
    renumber(leg.peer);
    if (!leg.proposed) continue;
    renumber(leg.proposed->to);
    if (leg.proposed->to == kNoLeg) leg.proposed.reset();
  }
  for (Dialog& dialog : dialogs) {
    renumber(dialog.a);
    renumber(dialog.b);
  }
}

std::string print(const CallState& state) {
  std::string result;
  for (const Leg& leg : state.legs) result += print(leg) + " ";
  for (const Dialog& dialog : state.dialogs) {
    result += std::to_string(static_cast<unsigned>(dialog.a)) + "-" +
              std::to_string(static_cast<unsigned>(dialog.b));
    if (!dialog.via_branch.empty()) result.append(" ").append(std::string_view(dialog.via_branch));
    result += dialog.answered ? " answered" : " open";
    if (dialog.pending) result += " pending";
    result += "; ";
  }
  return result;
}

}  // namespace millrace

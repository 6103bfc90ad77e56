// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "control/change/change.h"

namespace millrace {
namespace {

using State = PartyMedia::State;

}  // namespace

// Of the address `on`, if that is given. No pair: there are none left.
PortPair Change::take_port(RealmId realm, const std::optional<IpAddress>& on) {
  taken_.reserve(taken_.size() + 1);
  const PortPair ports = context_.realms.at(realm).pool.take(now_, on);
  if (ports) taken_.push_back({realm, ports});
  return ports;
}

// All ports of a party are on one address: a reply without SDP has room for one only.
Result<void> Change::take_ports(const Descriptions& described, Leg& from, Leg& to) {
  for (Leg* leg : {&from, &to}) {
    if (leg->sections.size() < described.size()) leg->sections.resize(described.size());
    auto on = leg->address(context_.realms);
    for (std::size_t i = 0; i < described.size(); ++i) {
      if (described[i].state != State::live || leg->ports(i)) continue;
      PortPair ports;
      if (!on && leg->preferred) ports = take_port(leg->realm, leg->preferred);
      if (!ports) ports = take_port(leg->realm, on);
      if (!ports) return fail(std::string(reason::kOutOfPorts));
      on = realm_of(*leg).address_of(ports.rtp());
      leg->sections[i].open(ports);
    }
  }
  return {};
}

Result<void> Change::move_ports(Leg& leg, const Request& request) {
  const std::string_view to = request.placement.to_interface;
  const bool elsewhere = request.placement.by_answer && !state_.has_answered(leg) &&
                         to != realm_of(leg).interface.name;
  if (!elsewhere && !request.new_ports) return {};
  std::optional<IpAddress> on = leg.address(context_.realms);
  if (elsewhere) {
    const auto place = choose_place(to, request.placement.to_local, realm_of(leg).family);
    if (!place) return std::unexpected(place.error());
    leg.realm = place->realm;
    leg.preferred = place->preferred;
    on = place->preferred;
  }
  for (std::size_t i = 0; i < leg.sections.size(); ++i) {
    const bool named = std::ranges::count(request.sections, i + 1, &NamedMedia::index) > 0;
    if (!leg.ports(i) || !(elsewhere || named)) continue;
    const PortPair ports = take_port(leg.realm, on);
    if (!ports) return fail(std::string(reason::kOutOfPorts));
    on = realm_of(leg).address_of(ports.rtp());
    leg.sections[i].ports = ports;
  }
  return {};
}

// Gives up the ports of the leg and of the parties of its dialogs that no dialog uses. Those that a
// party has in common with another branch stay that branch's.
void Change::release_unused(Leg& leg) {
  for (const Dialog& dialog : state_.dialogs) {
    if (!dialog.joins(leg)) continue;
    Leg& other = state_.other(dialog, leg);
    for (std::size_t i = 0; i < std::max(leg.sections.size(), other.sections.size()); ++i) {
      if (state_.uses(dialog, i)) continue;
      release(leg, i);
      release(other, i);
    }
    other.trim();
  }
  leg.trim();
}

void Change::release(Leg& leg, std::size_t index) {
  const bool used =
      !leg.ports(index) || std::ranges::any_of(state_.dialogs, [&](const Dialog& dialog) {
        return dialog.joins(leg) && state_.uses(dialog, index);
      });
  if (used) return;
  LegMedia& media = leg.sections[index];
  if (media.established) {
    const LocalPort rtp = media.ports.rtp();
    media.past.ensure().closed = {state_.signalled, rtp, realm_of(leg).printed(rtp)};
  } else {
    media.past.reset();
  }
  media.ports = {};
}

}  // namespace millrace

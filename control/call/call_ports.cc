// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/call/call.h"

namespace millrace {
namespace {

using State = PartyMedia::State;

}  // namespace

Result<Call::Staged> Call::take_ports(const std::vector<PartyMedia>& described, const Leg& from,
                                      const Leg& to, Clock::time_point now) const {
  Staged staged;
  staged.from.resize(described.size());
  staged.to.resize(described.size());
  // All ports of a party are on one address: a reply without SDP has room for one only.
  const auto take = [&](const Leg& leg, std::size_t i,
                        std::vector<std::shared_ptr<PortLease>>& taken,
                        std::optional<IpAddress>& on) {
    if (leg.ports(i) != nullptr) return true;
    if (!on && leg.preferred) {
      taken[i] = PortLease::take(*leg.realm, dataplane_, now, leg.preferred);
    }
    if (!taken[i]) taken[i] = PortLease::take(*leg.realm, dataplane_, now, on);
    if (taken[i]) on = taken[i]->address();
    return taken[i] != nullptr;
  };
  auto from_address = from.address(), to_address = to.address();
  for (std::size_t i = 0; i < described.size(); ++i) {
    if (described[i].state != State::live) continue;
    if (!take(from, i, staged.from, from_address) || !take(to, i, staged.to, to_address)) {
      return fail(std::string(reason::kOutOfPorts));
    }
  }
  return staged;
}

// Whether the dialog has media section `index`: in force, or in an offer that waits.
bool Call::uses(const Dialog& dialog, std::size_t index) {
  const Leg &a = *dialog.a, &b = *dialog.b;
  if (a.proposed_to(b, index) != nullptr || b.proposed_to(a, index) != nullptr) return true;
  const PartyMedia &of_a = a.agreed(index), &of_b = b.agreed(index);
  const auto removed = [](const PartyMedia& media) {
    return media.state == State::refused || media.state == State::untouched;
  };
  return (of_a.relayed() || of_b.relayed()) && !removed(of_a) && !removed(of_b);
}

// Returns the ports of the leg and of the parties of its dialogs that no dialog uses. Ports that a
// party shares with another branch stay that branch's.
void Call::release_unused(Leg& leg) {
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.joins(leg)) continue;
    Leg& other = dialog.other(leg);
    for (std::size_t i = 0; i < std::max(leg.sections.size(), other.sections.size()); ++i) {
      if (uses(dialog, i)) continue;
      release(leg, i);
      release(other, i);
    }
    other.trim();
  }
  leg.trim();
}

void Call::release(Leg& leg, std::size_t index) {
  const bool used =
      leg.ports(index) == nullptr || std::ranges::any_of(dialogs_, [&](const Dialog& dialog) {
        return dialog.joins(leg) && uses(dialog, index);
      });
  if (used) return;
  if (leg.peer != nullptr) withdraw(leg, index);
  LegMedia& media = leg.sections[index];
  if (media.established) {
    const Endpoint printed{leg.realm->advertised(media.ports->address()), media.ports->rtp().port};
    media.ensure_past().closed = {signalled_, media.ports->rtp(), printed};
  } else {
    media.past.reset();
  }
  media.ports.reset();
}

}  // namespace millrace

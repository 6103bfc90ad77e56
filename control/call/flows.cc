// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/flows.h"

#include <algorithm>
#include <bitset>
#include <optional>

namespace millrace {
namespace {

using State = PartyMedia::State;

bool live(const PartyMedia& media) { return media.relayed(); }
// rtpproxy's streams without codecs: RTP or not, with RTCP on the next port or not.
bool is_any(const PartyMedia& media) { return live(media) && !media.rtp && media.type.empty(); }
bool absent(const PartyMedia& media) { return media.state == State::absent; }

// One m= line of a joined dialog.
struct Line {
  const CallState& state;
  const Dialog& dialog;
  std::size_t index;
  const Leg &a = state.leg(dialog.a), &b = state.leg(dialog.b);
  const PartyMedia &of_a = a.current(b, index), &of_b = b.current(a, index);

  [[nodiscard]] bool agreed() const { return live(of_a) && live(of_b); }
  [[nodiscard]] bool relayed() const {
    // Nothing is known of a party that has not answered yet.
    const bool waits = (live(of_a) && absent(of_b)) || (absent(of_a) && live(of_b));
    return (agreed() || waits) && a.ports(index) && b.ports(index);
  }
  [[nodiscard]] bool is_rtp() const {
    return (of_a.rtp || !live(of_a)) && (of_b.rtp || !live(of_b));
  }
  [[nodiscard]] bool is_any() const { return millrace::is_any(of_a) || millrace::is_any(of_b); }
  // Whether RTCP has ports of its own.
  [[nodiscard]] bool has_rtcp() const {
    return is_any() || (is_rtp() && !(dialog.muxes(a, index) && dialog.muxes(b, index)));
  }
};

template <typename Visit>
void for_each_line(const CallState& state, Visit&& visit) {
  for (const Dialog& dialog : state.dialogs) {
    if (!state.is_joined(dialog)) continue;
    const std::size_t count =
        std::max(state.leg(dialog.a).sections.size(), state.leg(dialog.b).sections.size());
    for (std::size_t i = 0; i < count; ++i) {
      if (const Line line{state, dialog, i}; line.relayed()) visit(line);
    }
  }
}

// Whether the state has this flow.
bool has(const CallState& state, const Flow& flow) {
  const Leg& leg = state.leg(flow.leg);
  if (!leg.has_peer() || leg.ports(flow.index) != flow.ports) return false;
  const auto joint = std::ranges::find_if(state.dialogs, [&](const Dialog& dialog) {
    return dialog.joins(leg) && dialog.other(leg) == leg.peer;
  });
  if (joint == state.dialogs.end()) return false;
  const Line line{state, *joint, flow.index};
  return line.relayed() && (flow.component == 0 || line.has_rtcp());
}

// Where the offer wants media that is in force, if elsewhere.
std::optional<ProposedPlace> place_of(const PartyMedia& offered, const PartyMedia& agreed,
                                      std::size_t component) {
  const PartyMedia::Component& part = offered.components[component];
  if (offered.rtp != agreed.rtp || (!part.moved && offered.hints == agreed.hints)) {
    return std::nullopt;
  }
  const auto remote = part.remote();
  const bool elsewhere = remote != agreed.components[component].remote();
  return ProposedPlace{elsewhere ? remote : std::nullopt,
                       {offered.hints.begin(), offered.hints.end()}};
}

// Blocking of packets that `leg` sends: of the call and of the party.
void block(const CallState& state, const Line& line, const Leg& leg, Side& side) {
  const auto is = [&](bool BlockState::* what) {
    return state.block_state.*what || leg.block_state.*what;
  };
  if (is(&BlockState::silenced)) side.blocking = Blocking::silence;
  if (is(&BlockState::blocked)) side.blocking = Blocking::drop;
  side.event_types = line.of_a.dtmf_types | line.of_b.dtmf_types;
  side.drop_events = is(&BlockState::dtmf_blocked);
}

Side side_of(const Line& line, const Leg& leg, std::size_t component, const Realms& realms) {
  const bool is_a = &leg == &line.a;
  const Leg& other = is_a ? line.b : line.a;
  const PartyMedia& described = is_a ? line.of_a : line.of_b;
  const PortPair ports = leg.ports(line.index);
  Side result;
  result.local = component == 0 ? ports.rtp() : ports.rtcp();
  result.rtcp_mux = line.dialog.muxes(leg, line.index);
  if (!live(described)) return result;  // not answered: accept nothing from it
  const std::size_t part_index = result.rtcp_mux ? 0 : component;
  const PartyMedia::Component& part = described.components[part_index];
  result.remote = part.remote();
  result.hints = {described.hints.begin(), described.hints.end()};
  // A party may use the payload types of its own SDP or of the other's (RFC 3264 section 5.1).
  if (component == 0) result.payload_types = line.of_a.payload_types | line.of_b.payload_types;
  result.only_negotiated =
      component == 0 && (leg.is_retyped(line.index) || other.is_retyped(line.index));
  result.clock_hz = described.clock_hz;
  const bool fixed = leg.options.asymmetric && leg.options.strict_source;
  result.latching = fixed ? Latching::off : realms.at(leg.realm).interface.latching;
  result.asymmetric = leg.options.asymmetric;
  result.strict_source = leg.options.strict_source;
  if (described.signalled) result.on_publish = OnPublish::renew;
  if (part.moved) result.on_publish = OnPublish::reopen;
  result.deliver = !described.on_hold;
  result.handover = leg.options.media_handover;
  result.nat_punch = leg.options.nat_punch && described.sends;
  const PartyMedia* const offered = leg.proposed_to(other, line.index);
  if (offered != nullptr && offered != &described) {
    result.proposed = place_of(*offered, described, part_index);
  }
  // Send nothing to the address of its SDP before the party has latched.
  if (leg.options.nat_wait && !leg.options.asymmetric && !part.inside) {
    result.remote.reset();
    if (result.proposed) result.proposed->remote.reset();
  }
  block(line.state, line, leg, result);
  return result;
}

Path path_of(const Line& line, std::size_t component, const Realms& realms) {
  Path path{.a = side_of(line, line.a, component, realms),
            .b = side_of(line, line.b, component, realms),
            .payload = !line.is_rtp() || line.is_any() ? Payload::opaque
                       : component == 0                ? Payload::rtp
                                                       : Payload::rtcp,
            .encrypted = line.of_a.encrypted() || line.of_b.encrypted(),
            .dscp = line.state.dscp};
  // RFC 5761 section 5.1.1: until the first answer RTCP may arrive on either port.
  const bool open = component == 0 && !line.agreed() && !path.a.rtcp_mux && !path.b.rtcp_mux;
  if (open && (line.of_a.rtcp_mux || line.of_b.rtcp_mux)) path.a.rtcp_mux = path.b.rtcp_mux = true;
  return path;
}

// Ids of the legs that are in a dialog.
std::bitset<256> legs_in_dialogs(const CallState& state) {
  std::bitset<256> result;
  for (const Dialog& dialog : state.dialogs) {
    result.set(static_cast<std::size_t>(dialog.a)).set(static_cast<std::size_t>(dialog.b));
  }
  return result;
}

// Ports of `before` that no leg of `after` has.
void add_returned(const CallState& before, const CallState& after, Effects& to) {
  const auto stays = legs_in_dialogs(after);
  const auto has = [&](const Leg& leg, std::size_t i, PortPair ports) {
    return stays[static_cast<std::size_t>(leg.id)] && leg.ports(i) == ports;
  };
  for (const Leg& leg : before.legs) {
    for (std::size_t i = 0; i < leg.sections.size(); ++i) {
      const PortPair ports = leg.ports(i);
      if (!ports || has(after.leg(leg.id), i, ports)) continue;
      const auto listed = [&](const Effects::Returned& each) { return each.ports == ports; };
      if (std::ranges::any_of(after.legs, [&](const Leg& each) { return has(each, i, ports); }) ||
          std::ranges::any_of(to.returned, listed)) {
        continue;
      }
      to.returned.push_back({leg.realm, ports});
    }
  }
}

}  // namespace

Effects effects(const CallState& before, const CallState& after, const Realms& realms) {
  Effects result;
  for_each_line(before, [&](const Line& line) {
    for (const Leg* leg : {&line.a, &line.b}) {
      for (std::uint8_t component = 0; component <= (line.has_rtcp() ? 1 : 0); ++component) {
        const Flow flow{leg->id, static_cast<std::uint8_t>(line.index), component,
                        leg->ports(line.index)};
        if (!has(after, flow)) result.withdrawn.push_back(flow);
      }
    }
  });
  for_each_line(after, [&](const Line& line) {
    result.published.push_back(path_of(line, 0, realms));
    if (line.has_rtcp()) result.published.push_back(path_of(line, 1, realms));
  });
  add_returned(before, after, result);
  return result;
}

void mark_published(CallState& state) {
  for (const Dialog& dialog : state.dialogs) {
    if (!state.is_joined(dialog)) continue;
    for (const LegId id : {dialog.a, dialog.b}) {
      for (LegMedia& media : state.leg(id).sections) {
        for (auto& part : media.agreed.components) part.moved = false;
        media.agreed.signalled = false;
      }
    }
  }
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/call_report.h"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <utility>

namespace millrace {
namespace {

// Of one call.
struct Reporter {
  const CallState& state;
  const Realms& realms;
  const Dataplane& dataplane;

  [[nodiscard]] TagReport report(const Leg& leg, const Lines& muxes) const;
  [[nodiscard]] MediaReport report(const Leg& leg, std::size_t index, bool muxed) const;
};

// The last state of a media section that was switched off.
void add_closed(const Leg& leg, std::size_t index, MediaReport& to) {
  if (index >= leg.sections.size()) return;
  const auto& past = leg.sections[index].past;
  if (!past || !past->closed) return;
  const auto now = PastFlow::Clock::now();
  to.closed = past->closed->at;
  if (past->quality) to.quality = past->quality->merge(std::nullopt, now);
  for (const std::size_t component : {0U, 1U}) {
    LocalPort local = past->closed->local;
    Endpoint endpoint = past->closed->endpoint;
    if (component == 1) {
      if (past->ports[1].empty()) continue;
      local.port = local.port.next();
      endpoint.port = endpoint.port.next();
    }
    to.streams.push_back({.local = local,
                          .local_endpoint = endpoint,
                          .advertised = std::nullopt,
                          .rtcp = component == 1,
                          .flow = past->ports[component].merge({}, now)});
  }
}

TagReport Reporter::report(const Leg& leg, const Lines& muxes) const {
  TagReport result;
  if (!leg.tags.empty()) result.tag = leg.tags.back();
  result.via_branch = leg.via_branch;
  result.user_agent = leg.user_agent;
  result.label = leg.label;
  result.created = leg.created;
  if (leg.has_peer()) {
    const Leg& peer = state.leg(leg.peer);
    if (!peer.tags.empty()) result.peer_tag = peer.tags.back();
  }
  result.sections.reserve(leg.sections.size());
  for (std::size_t i = 0; i < leg.sections.size(); ++i) {
    result.sections.push_back(report(leg, i, muxes[i]));
  }
  return result;
}

MediaReport Reporter::report(const Leg& leg, std::size_t index, bool muxed) const {
  const bool agreed = leg.agreed(index).state != PartyMedia::State::absent;
  const PartyMedia& described = agreed ? leg.agreed(index) : leg.latest(index);
  // Until a party answers, report its media section from the offer.
  const bool absent = described.state == PartyMedia::State::absent && leg.has_peer();
  const PartyMedia& known = absent ? state.leg(leg.peer).latest(index) : described;
  MediaReport result;
  result.index = static_cast<unsigned>(index + 1);
  if (index < leg.sections.size()) result.created = leg.sections[index].created;
  result.type = known.type;
  result.protocol = known.protocol;
  result.codec = known.codec;
  result.clock_hz = known.clock_hz;
  result.live = known.state == PartyMedia::State::live;
  result.sends = result.live && described.sends;
  result.receives = result.live && described.receives && !described.on_hold;
  result.hints.assign(described.hints.begin(), described.hints.end());
  result.blocked = state.block_state.blocked || leg.block_state.blocked;
  result.silenced = state.block_state.silenced || leg.block_state.silenced;
  result.dtmf_blocked = state.block_state.dtmf_blocked || leg.block_state.dtmf_blocked;
  const PortPair ports = leg.ports(index);
  const auto now = PastFlow::Clock::now();
  if (!ports) {
    add_closed(leg, index, result);
    return result;
  }
  result.streams.reserve(2);
  const auto add = [&](LocalPort local, std::size_t component) {
    result.streams.push_back(
        {.local = local,
         .local_endpoint = realms.at(leg.realm).printed(local),
         .advertised = described.components[component].advertised(),
         .rtcp = component == 1,
         .rtcp_mux = muxed,
         .flow = leg.total_flow(index, leg.has_peer() ? dataplane.read(local) : FlowReport{},
                                component, now)});
  };
  add(ports.rtp(), 0);
  // Report the RTCP port also when RTCP has left it: its counters remain.
  const auto& past = leg.sections[index].past;
  const bool any = !known.rtp && known.type.empty();  // rtpproxy's streams without codecs
  if (any || (known.rtp && !muxed) || (past && !past->ports[1].empty())) add(ports.rtcp(), 1);
  result.quality =
      leg.quality(index, leg.has_peer() ? dataplane.read_quality(ports.rtp()) : std::nullopt, now);
  return result;
}

}  // namespace

CallReport report(std::string_view id, const CallState& state, const Realms& realms,
                  const Dataplane& dataplane, CallState::Time now) {
  CallReport result;
  result.call_id = id;
  if (state.update) {
    result.from_tag = state.update->from_tag;
    result.username = state.update->username;
    result.from_uri = state.update->from_uri;
    result.to_uri = state.update->to_uri;
  }
  result.metadata = state.metadata;
  result.created = state.created;
  if (state.answered_at.is_set()) result.answered = state.answered_at;
  result.last_signal = state.signalled;
  result.reported = Moment::at(now);
  struct Party {
    const Leg* leg;
    Lines muxes;
  };
  std::vector<Party> parties;
  parties.reserve(2 * state.dialogs.size());
  for (const Dialog& dialog : state.dialogs) {
    for (const LegId leg_id : {dialog.a, dialog.b}) {
      const Leg* const leg = &state.leg(leg_id);
      auto party = std::ranges::find(parties, leg, &Party::leg);
      if (party == parties.end()) party = parties.insert(party, {leg, {}});
      if (leg->has_peer() && leg->peer != dialog.other(*leg)) continue;
      for (std::size_t i = 0; i < dialog.mux.size(); ++i) {
        if (dialog.muxes(*leg, i)) party->muxes.set(i);
      }
    }
  }
  const Reporter reporter{state, realms, dataplane};
  result.tags.reserve(parties.size());
  for (const auto& [leg, muxes] : parties) {
    TagReport party = reporter.report(*leg, muxes);
    // A party of a spiral has a leg in each pass.
    const auto same = state.spiral ? std::ranges::find(result.tags, party.tag, &TagReport::tag)
                                   : result.tags.end();
    if (same == result.tags.end()) {
      result.tags.push_back(std::move(party));
    } else {
      std::ranges::move(party.sections, std::back_inserter(same->sections));
    }
  }
  return result;
}

std::string media_summary(const CallState& state, std::string_view tag, const Realms& realms) {
  const Leg* const leg = state.find(tag);
  if (leg == nullptr) return "";
  const auto joins = [&](const Dialog& dialog) { return dialog.joins(*leg); };
  const auto dialog = std::ranges::find_if(state.dialogs | std::views::reverse, joins);
  const Leg& reader = state.other(*dialog, *leg);
  std::string summary;
  for (std::size_t i = 0; i < leg->sections.size(); ++i) {
    const PartyMedia& described = leg->latest(i);
    const PortPair ports = reader.ports(i);
    const auto advertised = described.components[0].advertised();
    if (!summary.empty()) summary += ", ";
    summary.append(described.type).append(" ");
    summary += advertised ? advertised->text() : "nowhere";
    summary += ' ';
    summary += ports ? realms.at(reader.realm).printed(ports.rtp()).text() : "refused";
  }
  return summary;
}

void count_streams(const CallState& state, std::map<std::string, std::uint64_t>& by_type) {
  for (const Dialog& dialog : state.dialogs) {
    const Leg& leg = state.leg(dialog.a);
    if (!state.is_joined(dialog)) continue;
    for (std::size_t i = 0; i < leg.sections.size(); ++i) {
      if (leg.ports(i)) ++by_type[std::string(leg.latest(i).type)];
    }
  }
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <iterator>
#include <utility>

#include "control/call/call.h"

namespace millrace {

CallReport Call::report(Clock::time_point now) const {
  CallReport result;
  result.call_id = id_;
  result.from_tag = from_tag_;
  result.username = username_;
  result.from_uri = from_uri_;
  result.to_uri = to_uri_;
  result.metadata = metadata_;
  result.created = created_;
  result.answered = answered_;
  result.last_signal = signalled_;
  result.reported = Moment::at(now);
  struct Party {
    const Leg* leg;
    Lines muxes;
  };
  std::vector<Party> parties;
  parties.reserve(2 * dialogs_.size());
  for (const Dialog& dialog : dialogs_) {
    for (const Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      auto party = std::ranges::find(parties, leg, &Party::leg);
      if (party == parties.end()) party = parties.insert(party, {leg, {}});
      if (leg->peer != nullptr && leg->peer != &dialog.other(*leg)) continue;
      for (std::size_t i = 0; i < dialog.mux.size(); ++i) {
        if (dialog.muxes(*leg, i)) party->muxes.set(i);
      }
    }
  }
  result.tags.reserve(parties.size());
  for (const auto& [leg, muxes] : parties) {
    TagReport party = report(*leg, muxes);
    // A party of a spiral has a leg in each pass.
    const auto same =
        spiral_ ? std::ranges::find(result.tags, party.tag, &TagReport::tag) : result.tags.end();
    if (same == result.tags.end()) {
      result.tags.push_back(std::move(party));
    } else {
      std::ranges::move(party.sections, std::back_inserter(same->sections));
    }
  }
  return result;
}

std::string Call::media_summary(std::string_view tag) const {
  const auto leg = find(tag);
  if (!leg) return "";
  const auto joins = [&](const Dialog& dialog) { return dialog.joins(*leg); };
  const auto dialog = std::find_if(dialogs_.rbegin(), dialogs_.rend(), joins);
  const Leg& reader = dialog->other(*leg);
  std::string summary;
  for (std::size_t i = 0; i < leg->sections.size(); ++i) {
    const PartyMedia& described = leg->latest(i);
    const PortLease* ports = reader.ports(i);
    const auto& advertised = described.components[0].advertised;
    if (!summary.empty()) summary += ", ";
    summary.append(described.type).append(" ");
    summary += advertised ? advertised->text() : "nowhere";
    summary += ' ';
    summary += ports == nullptr
                   ? "refused"
                   : Endpoint{reader.realm->advertised(ports->address()), ports->rtp().port}.text();
  }
  return summary;
}

void Call::count_streams(std::map<std::string, std::uint64_t>& by_type) const {
  for (const Dialog& dialog : dialogs_) {
    const Leg& leg = *dialog.a;
    if (leg.peer != dialog.b.get()) continue;
    for (std::size_t i = 0; i < leg.sections.size(); ++i) {
      if (leg.ports(i) != nullptr) ++by_type[std::string(leg.latest(i).type)];
    }
  }
}

TagReport Call::report(const Leg& leg, const Lines& muxes) const {
  TagReport result;
  if (!leg.tags.empty()) result.tag = leg.tags.back();
  result.via_branch = leg.via_branch;
  result.user_agent = leg.user_agent;
  result.label = leg.label;
  result.created = leg.created;
  if (leg.peer != nullptr && !leg.peer->tags.empty()) result.peer_tag = leg.peer->tags.back();
  result.sections.reserve(leg.sections.size());
  for (std::size_t i = 0; i < leg.sections.size(); ++i) {
    result.sections.push_back(report(leg, i, muxes[i]));
  }
  return result;
}

// The last state of a media section that was switched off.
void Call::add_closed(const Leg& leg, std::size_t index, MediaReport& to) {
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

MediaReport Call::report(const Leg& leg, std::size_t index, bool muxed) const {
  const bool agreed = leg.agreed(index).state != PartyMedia::State::absent;
  const PartyMedia& described = agreed ? leg.agreed(index) : leg.latest(index);
  // Until a party answers, report its media section from the offer.
  const bool absent = described.state == PartyMedia::State::absent && leg.peer != nullptr;
  const PartyMedia& known = absent ? leg.peer->latest(index) : described;
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
  result.hints = described.hints;
  result.blocked = block_state_.blocked || leg.block_state.blocked;
  result.silenced = block_state_.silenced || leg.block_state.silenced;
  result.dtmf_blocked = block_state_.dtmf_blocked || leg.block_state.dtmf_blocked;
  const PortLease* ports = leg.ports(index);
  const auto now = PastFlow::Clock::now();
  if (ports == nullptr) {
    add_closed(leg, index, result);
    return result;
  }
  result.streams.reserve(2);
  const auto add = [&](LocalPort local, std::size_t component) {
    result.streams.push_back(
        {.local = local,
         .local_endpoint = {leg.realm->advertised(ports->address()), local.port},
         .advertised = described.components[component].advertised,
         .rtcp = component == 1,
         .rtcp_mux = muxed,
         .flow = leg.total_flow(index, leg.peer != nullptr ? dataplane_.read(local) : FlowReport{},
                                component, now)});
  };
  add(ports->rtp(), 0);
  // Report the RTCP port also when RTCP has left it: its counters remain.
  const auto& past = leg.sections[index].past;
  const bool any = !known.rtp && known.type.empty();  // rtpproxy's streams without codecs
  if (any || (known.rtp && !muxed) || (past && !past->ports[1].empty())) add(ports->rtcp(), 1);
  result.quality = leg.quality(
      index, leg.peer != nullptr ? dataplane_.read_quality(ports->rtp()) : std::nullopt, now);
  return result;
}

}  // namespace millrace

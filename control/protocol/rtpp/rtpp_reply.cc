// SPDX-License-Identifier: BSD-3-Clause
// Encodes rtpproxy replies, without cookie and newline.

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "control/protocol/rtpp/rtpp.h"

namespace millrace::rtpp {
namespace {

using Counters = std::vector<std::pair<std::string_view, std::uint64_t>>;

// Port of a refused stream: the discard service (RFC 863). The proxy modules take port 0 for a
// failure of the relay and leave the whole SDP unchanged. They print a refused stream with port 0.
constexpr UdpPort kNoMedia{9};

// Prints "1 2 3", or "a=1 b=2 c=3" if verbose; none if a requested name is unknown.
std::optional<std::string> print_counters(const Command& command, const Counters& all,
                                          std::size_t by_default) {
  std::string text;
  const auto add = [&](std::string_view name, std::uint64_t value) {
    if (!text.empty()) text += ' ';
    text += command.verbose ? fmt::format("{}={}", name, value) : fmt::format("{}", value);
  };
  if (command.names.empty()) {
    for (std::size_t i = 0; i < by_default; ++i) add(all[i].first, all[i].second);
  }
  for (const std::string_view name : command.names) {
    const auto found = std::ranges::find(all, name, &Counters::value_type::first);
    if (found == all.end()) return std::nullopt;
    add(name, found->second);
  }
  return text;
}

// Packets at media ports that the relay dropped.
std::uint64_t discarded(const DataplaneReport& dataplane) {
  const auto all = drop_reasons();
  const auto first = static_cast<std::ptrdiff_t>(
      std::ranges::find(all, flow_drop_reasons().front().name, &DropReasonInfo::name) -
      all.begin());
  std::uint64_t packets = 0;
  for (const WorkerReport& worker : dataplane.workers) {
    if (worker.drops.size() < all.size()) continue;
    const auto begin = worker.drops.begin() + first;
    packets += std::accumulate(begin, begin + kFlowDropReasons, std::uint64_t{0});
  }
  return packets;
}

// Null if unknown. A party that has not answered yet has no tag.
const TagReport* find_party(const CallReport& call, std::string_view tag) {
  if (tag.empty()) return nullptr;
  const auto found = std::ranges::find(call.tags, tag, &TagReport::tag);
  return found == call.tags.end() ? nullptr : &*found;
}

// The party that exchanges media with `party`; it may have no tag yet. Null if none.
const TagReport* peer_of(const CallReport& call, const TagReport* party) {
  if (party == nullptr) return nullptr;
  const auto found = std::ranges::find_if(call.tags, [&](const TagReport& other) {
    return &other != party && other.tag == party->peer_tag && other.peer_tag == party->tag;
  });
  return found == call.tags.end() ? nullptr : &*found;
}

const StreamReport* rtp_stream(const TagReport* party, unsigned media) {
  if (party == nullptr) return nullptr;
  for (const MediaReport& each : party->sections) {
    if (each.index != media || each.closed) continue;
    const auto stream = std::ranges::find(each.streams, false, &StreamReport::rtcp);
    return stream == each.streams.end() ? nullptr : &*stream;
  }
  return nullptr;
}

}  // namespace

std::string print(Refusal refusal) { return fmt::format("E{}", std::to_underlying(refusal)); }

std::string print_port(const Reply& reply, const Command& command) {
  if (const auto* const found = std::get_if<reply::Endpoints>(&reply)) {
    if (found->endpoints.empty()) return "0";
    Endpoint at = found->endpoints[0];
    const bool refused = command.request.sections.at(0).endpoint.port == UdpPort();
    if (at.port == UdpPort() && refused) at.port = kNoMedia;
    if (at.port == UdpPort()) return "0";
    return fmt::format("{} {}{}", at.port.number(), at.address.text(),
                       at.address.is_v4() ? "" : " 6");
  }
  if (const auto* const full = std::get_if<reply::LoadLimit>(&reply)) {
    return print(full->draining ? Refusal::draining : Refusal::overload);
  }
  const auto* const failure = std::get_if<reply::Failure>(&reply);
  if (failure == nullptr) return print(Refusal::invalid_address);
  if (failure->reason == reason::kOutOfPorts) return print(Refusal::no_ports);
  const bool unknown =
      failure->reason == reason::kUnknownCall || failure->reason == reason::kNoDialog;
  return command.verb == Verb::lookup && unknown ? "0" : print(Refusal::invalid_address);
}

std::expected<std::string, Refusal> print_query(const Command& command, const CallReport& call) {
  const unsigned media = command.media.value_or(1);
  // Of an unknown first tag, the other party of the second.
  const TagReport* party = find_party(call, command.request.from_tag);
  if (party == nullptr) party = peer_of(call, find_party(call, command.request.to_tag));
  const StreamReport* const own = rtp_stream(party, media);
  if (own == nullptr) return std::unexpected(Refusal::unknown_session);
  const StreamReport* const other = rtp_stream(peer_of(call, party), media);
  const FlowReport silent;
  const FlowReport& a = own->flow;
  const FlowReport& o = other != nullptr ? other->flow : silent;

  const auto left = std::chrono::ceil<std::chrono::seconds>(
      call.left.value_or(std::chrono::seconds(std::numeric_limits<std::int32_t>::max())));
  const auto at_least_0 = [](std::int64_t count) {
    return static_cast<std::uint64_t>(std::max(count, std::int64_t{0}));
  };
  const Counters counters = {
      {"ttl", at_least_0(left.count())},
      {"npkts_ina", a.packets},
      {"npkts_ino", o.packets},
      {"nrelayed", a.forwarded + o.forwarded},
      {"ndropped", a.refused + a.malformed + o.refused + o.malformed},
      {"rtpa_nsent", a.expected},
      {"rtpa_nrcvd",
       at_least_0(static_cast<std::int64_t>(a.expected) - std::max(a.lost, std::int64_t{0}))},
      // Duplicates in excess of the loss: the relay does not tell them from late packets.
      {"rtpa_ndups", at_least_0(-a.lost)},
      {"rtpa_nlost", at_least_0(a.lost)},
      {"rtpa_jlast", a.jitter},
      {"rtpa_perrs", a.malformed},
  };
  auto text = print_counters(command, counters, 5);
  if (!text) return std::unexpected(Refusal::query);
  return std::move(*text);
}

std::string print_info(const Command& command, const StatisticsReport& report,
                       const std::vector<std::string>& call_ids) {
  std::string text = fmt::format(
      "sessions created: {}\nactive sessions: {}\nactive streams: {}\npackets received: {}\n"
      "packets transmitted: {}",
      report.sessions_total, report.sessions, report.ports_used / 2,
      report.packets + discarded(report.dataplane), report.packets);
  if (command.load) {
    std::uint64_t busy = 0, all = 0;
    for (const WorkerReport& worker : report.dataplane.workers) {
      busy += worker.busy_cycles;
      all += worker.busy_cycles + worker.idle_cycles;
    }
    text += fmt::format("\naverage load: {:f}",
                        all == 0 ? 0.0 : static_cast<double>(busy) / static_cast<double>(all));
  }
  for (const std::string& id : call_ids) text += "\n" + id;
  return text;
}

std::expected<std::string, Refusal> print_statistics(const Command& command,
                                                     const StatisticsReport& report) {
  const std::uint64_t dropped = discarded(report.dataplane);
  const std::uint64_t commands = report.offers + report.answers + report.deletes + report.queries +
                                 report.lists + report.pings;
  const Counters counters = {
      {"nsess_created", report.sessions_total},
      {"nsess_destroyed", report.sessions_total - std::min(report.sessions, report.sessions_total)},
      {"nsess_timeout", report.timeouts + report.silent_timeouts + report.offer_timeouts},
      {"nsess_complete", report.sessions_answered},
      // This relay plays and re-packetizes nothing.
      {"nplrs_created", 0},
      {"nplrs_destroyed", 0},
      {"npkts_rcvd", report.packets + dropped},
      {"npkts_played", 0},
      {"npkts_relayed", report.packets},
      {"npkts_resizer_in", 0},
      {"npkts_resizer_out", 0},
      {"npkts_resizer_discard", 0},
      {"npkts_discard", dropped},
      {"ncmds_rcvd", commands},
      {"ncmds_succd", commands - std::min(report.errors, commands)},
      {"ncmds_errs", report.errors},
      {"ncmds_repld", commands},
  };
  auto text = print_counters(command, counters, counters.size());
  if (!text) return std::unexpected(Refusal::statistics);
  return std::move(*text);
}

}  // namespace millrace::rtpp

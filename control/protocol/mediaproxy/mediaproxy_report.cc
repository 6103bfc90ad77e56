// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "control/log.h"
#include "control/protocol/mediaproxy/mediaproxy.h"

namespace millrace::mediaproxy {
namespace {

// Keys in MediaProxy's order.
using Json = nlohmann::ordered_json;

// About 16,000 calls of one stream. The rest is left out, which the log tells.
constexpr std::size_t kMaxReply = std::size_t{16} << 20;

// Strings from the network may not be UTF-8: invalid bytes are replaced.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::int64_t seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

const TagReport* find(const CallReport& call, std::string_view tag) {
  const auto found = std::ranges::find(call.tags, tag, &TagReport::tag);
  return found == call.tags.end() ? nullptr : &*found;
}

const MediaReport& media(const TagReport* party, std::size_t index) {
  static const MediaReport none;
  return party != nullptr && index < party->sections.size() ? party->sections[index] : none;
}

// MediaProxy's names of the static payload types (RFC 3551).
constexpr std::array<std::pair<unsigned, std::string_view>, 22> kCodecs = {
    {{0, "G711u"}, {1, "1016"},  {2, "G721"},  {3, "GSM"},   {4, "G723"},  {5, "DVI4"},
     {6, "DVI4"},  {7, "LPC"},   {8, "G711a"}, {9, "G722"},  {10, "L16"},  {11, "L16"},
     {14, "MPA"},  {15, "G728"}, {18, "G729"}, {25, "CelB"}, {26, "JPEG"}, {28, "nv"},
     {31, "H261"}, {32, "MPV"},  {33, "MP2T"}, {34, "H263"}}};

// By the payload type of the last RTP packet.
std::string codec(const MediaReport& media) {
  for (const StreamReport& stream : media.streams) {
    if (stream.rtcp || !stream.flow.ssrc) continue;
    const unsigned type = stream.flow.payload_type;
    const auto* const known =
        std::ranges::find(kCodecs, type, [](const auto& c) { return c.first; });
    if (known != kCodecs.end()) return std::string(known->second);
    return (type > 95 ? "Dynamic(" : "Unknown(") + std::to_string(type) + ")";
  }
  return "Unknown";
}

std::string local(const MediaReport& media) {
  return media.streams.empty() ? "Unknown" : media.streams.front().local_endpoint.text();
}

std::string remote(const MediaReport& media) {
  if (media.streams.empty()) return "Unknown";
  const auto& heard = media.streams.front().flow.latched;
  return heard ? heard->text() : "Unknown";
}

std::uint64_t sum(const MediaReport& media, std::uint64_t FlowReport::* counter) {
  std::uint64_t total = 0;
  for (const StreamReport& stream : media.streams) total += stream.flow.*counter;
  return total;
}

const char* status(const MediaReport& caller, const MediaReport& callee) {
  if (caller.closed || callee.closed) return "closed";
  if (caller.streams.empty() && callee.streams.empty()) return "rejected";
  return caller.receives && callee.receives ? "active" : "on hold";
}

// Seconds from creation of the stream to the first latch on it.
Json post_dial_delay(const MediaReport& caller, const MediaReport& callee, const Moment& now) {
  const auto latched_for = std::max(caller.latched_for(), callee.latched_for());
  if (!latched_for) return {};
  const auto delay = now - std::max(caller.created, callee.created) - *latched_for;
  return std::max(std::chrono::duration<double>(delay).count(), 0.0);
}

// Precondition: the call was answered.
Json stream(const MediaReport& caller, const MediaReport& callee, const CallReport& call) {
  const auto since_answer = [&](const Moment& time) {
    return std::max(seconds(time - *call.answered), std::int64_t{0});
  };
  const auto& closed = caller.closed ? caller.closed : callee.closed;
  const auto start = since_answer(std::max(caller.created, callee.created));
  const bool rejected = caller.streams.empty() && callee.streams.empty();
  const auto end = closed ? since_answer(*closed) : rejected ? start : since_answer(call.reported);
  return {{"media_type", caller.type.empty() ? callee.type : caller.type},
          {"status", status(caller, callee)},
          {"timeout_wait", 0},
          {"caller_codec", codec(caller)},
          {"callee_codec", codec(callee)},
          {"start_time", start},
          {"end_time", end},
          {"post_dial_delay", post_dial_delay(caller, callee, call.reported)},
          {"caller_bytes", sum(caller, &FlowReport::bytes)},
          {"callee_bytes", sum(callee, &FlowReport::bytes)},
          {"caller_packets", sum(caller, &FlowReport::packets)},
          {"callee_packets", sum(callee, &FlowReport::packets)},
          {"caller_local", local(caller)},
          {"callee_local", local(callee)},
          {"caller_remote", remote(caller)},
          {"callee_remote", remote(callee)}};
}

Json text(const std::string& value) { return value.empty() ? Json() : Json(value); }

Json session(const CallReport& call) {
  const TagReport* caller = find(call, call.from_tag);
  if (caller == nullptr && !call.tags.empty()) caller = &call.tags.front();
  const TagReport* callee = caller == nullptr ? nullptr : find(call, caller->peer_tag);
  for (const TagReport& tag : call.tags) {  // before the answer, the callee has no tag
    if (callee == nullptr && &tag != caller) callee = &tag;
  }
  const auto agent = [](const TagReport* party) {
    return party == nullptr || party->user_agent.empty() ? "Unknown" : party->user_agent;
  };
  Json streams = Json::array();
  const std::size_t count = std::max(caller != nullptr ? caller->sections.size() : 0,
                                     callee != nullptr ? callee->sections.size() : 0);
  for (std::size_t i = 0; call.answered && i < count; ++i) {
    streams.push_back(stream(media(caller, i), media(callee, i), call));
  }
  return {{"call_id", call.call_id},
          {"from_tag", text(caller != nullptr ? caller->tag : "")},
          {"from_uri", text(call.from_uri)},
          {"to_tag", text(callee != nullptr ? callee->tag : "")},
          {"to_uri", text(call.to_uri)},
          {"start_time",
           call.answered ? Json(seconds(call.answered->wall.time_since_epoch())) : Json()},
          {"duration", call.answered ? Json(seconds(call.reported - *call.answered)) : Json()},
          {"caller_ua", agent(caller)},
          {"callee_ua", agent(callee)},
          {"username", text(call.username)},
          {"streams", std::move(streams)}};
}

}  // namespace

std::string sessions(const ServeContext& context) {
  Request request;
  request.command = millrace::Command::list;
  request.list_limit = UINT32_MAX;
  const Reply listed = context.handle(request);
  request.command = millrace::Command::query;
  const auto& call_ids = std::get<reply::List>(listed).call_ids;
  std::string all = "[";
  for (const std::string& call_id : call_ids) {
    request.call_id = call_id;
    const Reply reply = context.handle(request);
    const auto* query = std::get_if<reply::Query>(&reply);
    if (query == nullptr) continue;  // the call has just ended
    const std::string one = text_of(session(query->call));
    if (all.size() + one.size() > kMaxReply) {
      log_event(Level::warning, "sessions-cut", {{"calls", call_ids.size()}});
      break;
    }
    if (all.size() > 1) all += ", ";
    all += one;
  }
  return all + "]\r\n";
}

std::string summary(const ServeContext& context) {
  Request request;
  request.command = millrace::Command::summary;
  const Reply reply = context.handle(request);
  const SummaryReport& report = std::get<reply::Summary>(reply).report;
  Json streams = Json::object();
  for (const auto& [type, count] : report.streams) streams[type] = count;
  return text_of(Json::array({{{"ip", report.address.text()},
                               {"version", MILLRACE_VERSION},
                               {"status", report.draining ? "halting" : "active"},
                               {"uptime", report.uptime.count()},
                               {"session_count", report.sessions},
                               {"stream_count", std::move(streams)},
                               {"bps_relayed", report.bits_per_second}}})) +
         "\r\n";
}

}  // namespace millrace::mediaproxy

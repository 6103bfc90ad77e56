// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <string>

#include <nlohmann/json.hpp>

#include "control/protocol/mediaproxy/mediaproxy.h"

namespace millrace::mediaproxy {
namespace {

// Keys in MediaProxy's order.
using Json = nlohmann::ordered_json;

// One reply is one send(): a longer one would not fit a socket's buffer.
constexpr std::uint32_t kMaxSessions = 200;
constexpr std::size_t kMaxReply = 192UL * 1024;

// Serializes one reply line. Strings from the network may not be UTF-8: invalid bytes are replaced.
std::string line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\r\n";
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

std::string codec(const MediaReport& media) {
  if (!media.codec.empty()) return media.codec;
  for (const StreamReport& stream : media.streams) {
    if (!stream.rtcp && stream.flow.ssrc) {
      return "payload type " + std::to_string(stream.flow.payload_type);
    }
  }
  return "Unknown";
}

std::string local(const MediaReport& media) {
  return media.streams.empty() ? "Unknown" : media.streams.front().local_endpoint.text();
}

std::string remote(const MediaReport& media) {
  if (media.streams.empty()) return "Unknown";
  const StreamReport& rtp = media.streams.front();
  const auto& known = rtp.flow.latched ? rtp.flow.latched : rtp.advertised;
  return known ? known->text() : "Unknown";
}

std::uint64_t sum(const MediaReport& media, std::uint64_t FlowReport::* counter) {
  std::uint64_t total = 0;
  for (const StreamReport& stream : media.streams) total += stream.flow.*counter;
  return total;
}

const char* status(const MediaReport& caller, const MediaReport& callee) {
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

Json stream(const MediaReport& caller, const MediaReport& callee, const CallReport& call) {
  const auto duration = seconds(call.reported - call.created);
  const bool rejected = caller.streams.empty() && callee.streams.empty();
  return {{"media_type", caller.type.empty() ? callee.type : caller.type},
          {"status", status(caller, callee)},
          {"timeout_wait", 0},
          {"caller_codec", codec(caller)},
          {"callee_codec", codec(callee)},
          {"start_time", 0},
          {"end_time", rejected ? 0 : duration},
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
  const auto duration = seconds(call.reported - call.created);
  const auto agent = [](const TagReport* party) {
    return party == nullptr || party->user_agent.empty() ? "Unknown" : party->user_agent;
  };
  Json streams = Json::array();
  const std::size_t count = std::max(caller != nullptr ? caller->sections.size() : 0,
                                     callee != nullptr ? callee->sections.size() : 0);
  for (std::size_t i = 0; i < count; ++i) {
    streams.push_back(stream(media(caller, i), media(callee, i), call));
  }
  return {{"call_id", call.call_id},
          {"from_tag", text(caller != nullptr ? caller->tag : "")},
          {"from_uri", text(call.from_uri)},
          {"to_tag", text(callee != nullptr ? callee->tag : "")},
          {"to_uri", text(call.to_uri)},
          {"start_time", seconds(call.created.wall.time_since_epoch())},
          {"duration", duration},
          {"caller_ua", agent(caller)},
          {"callee_ua", agent(callee)},
          {"username", text(call.username)},
          {"streams", std::move(streams)}};
}

}  // namespace

std::string sessions(const ServeContext& context) {
  Request request;
  request.command = millrace::Command::list;
  request.list_limit = kMaxSessions;
  const Reply listed = context.handle(request);
  request.command = millrace::Command::query;
  Json all = Json::array();
  std::size_t size = 0;
  for (const std::string& call_id : std::get<reply::List>(listed).call_ids) {
    request.call_id = call_id;
    const Reply reply = context.handle(request);
    const auto* query = std::get_if<reply::Query>(&reply);
    if (query == nullptr) continue;  // the call has just ended
    Json one = session(query->call);
    size += line(one).size();
    if (size > kMaxReply) break;
    all.push_back(std::move(one));
  }
  return line(all);
}

std::string summary(const ServeContext& context) {
  Request request;
  request.command = millrace::Command::summary;
  const Reply reply = context.handle(request);
  const SummaryReport& report = std::get<reply::Summary>(reply).report;
  Json streams = Json::object();
  for (const auto& [type, count] : report.streams) streams[type] = count;
  return line(Json::array({{{"ip", report.address.text()},
                            {"version", MILLRACE_VERSION},
                            {"status", report.draining ? "halting" : "active"},
                            {"uptime", report.uptime.count()},
                            {"session_count", report.sessions},
                            {"stream_count", std::move(streams)},
                            {"bps_relayed", report.bits_per_second}}}));
}

}  // namespace millrace::mediaproxy

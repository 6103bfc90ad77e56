// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/notification.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "dataplane/base/text.h"

namespace millrace::notification {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::system_clock;

std::string text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string request(std::uint64_t id, std::string_view method, Json params) {
  return text({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", std::move(params)}});
}

Json text(const std::optional<Endpoint>& endpoint) {
  return endpoint ? Json(endpoint->text()) : Json(nullptr);
}

Json json(const StreamReport& stream, const MediaReport& media) {
  const FlowReport& flow = stream.flow;
  Json out = {{"kind", stream.rtcp ? "rtcp" : "rtp"},
              {"local", stream.local_endpoint.text()},
              {"advertised", text(stream.advertised)},
              {"latched", text(flow.latched)},
              {"packets", flow.packets},
              {"bytes", flow.bytes},
              {"forwarded", flow.forwarded},
              {"refused", flow.refused},
              {"malformed", flow.malformed}};
  if (flow.ssrc) {
    out["ssrc"] = *flow.ssrc;
    out["payload-type"] = flow.payload_type;
    out["expected"] = flow.expected;
    out["lost"] = flow.lost;
    out["jitter-ms"] = media.jitter_ms(flow);
  }
  return out;
}

Json json(const MediaReport& media) {
  Json streams = Json::array();
  for (const StreamReport& stream : media.streams) streams.push_back(json(stream, media));
  Json out = {{"index", media.index},         {"type", media.type},   {"protocol", media.protocol},
              {"codec", media.codec},         {"sends", media.sends}, {"receives", media.receives},
              {"streams", std::move(streams)}};
  if (media.closed) out["closed"] = utc_text(media.closed->wall);
  return out;
}

Json json(const TagReport& tag) {
  Json sections = Json::array();
  for (const MediaReport& media : tag.sections) sections.push_back(json(media));
  return {{"tag", tag.tag}, {"peer", tag.peer_tag}, {"medias", std::move(sections)}};
}

// Adds the fields of one kind of event.
struct Details {
  Json& out;

  void operator()(const event::Start&) const {}
  void operator()(const event::Answered&) const {}
  void operator()(const event::Hold&) const {}
  void operator()(const event::Resume&) const {}
  void operator()(const event::Latched& latched) const {
    out["tag"] = latched.tag;
    out["media"] = latched.media;
    out["kind"] = latched.rtcp ? "rtcp" : "rtp";
    out["local"] = latched.local.text();
    out["source"] = latched.source.text();
  }
  void operator()(const event::Timeout& timeout) const { out["reason"] = timeout.reason; }
  void operator()(const event::End& end) const {
    const CallReport& call = end.report;
    const auto seconds = [&](const Moment& since) {
      const auto length = call.reported - since;
      return static_cast<double>(length / std::chrono::milliseconds(1)) / 1000;
    };
    out["reason"] = end.reason;
    out["created"] = utc_text(call.created.wall);
    out["answered"] = call.answered ? Json(utc_text(call.answered->wall)) : Json(nullptr);
    out["duration"] = call.answered ? seconds(*call.answered) : 0.0;
    if (!end.dialog_id.empty()) out["dialog-id"] = end.dialog_id;
    Json parties = Json::array();
    for (const TagReport& tag : call.tags) parties.push_back(json(tag));
    out["parties"] = std::move(parties);
  }
};

constexpr std::array<std::string_view, 7> kNames = {"start",  "answer",  "latched", "hold",
                                                    "resume", "timeout", "end"};
static_assert(kNames.size() == std::variant_size_v<decltype(Event::what)>);

}  // namespace

std::string kamailio(std::uint64_t id, std::string_view call_id, const event::End::Dialog& dialog) {
  return request(id, "dlg.terminate_dlg", Json::array({call_id, dialog.from_tag, dialog.to_tag}));
}

std::string opensips(std::uint64_t id, std::string_view dialog) {
  return request(id, "dlg_end_dlg", Json::array({dialog}));
}

std::optional<RpcReply> parse_reply(std::string_view datagram) {
  const Json reply = Json::parse(datagram, nullptr, false);
  if (!reply.is_object()) return std::nullopt;
  const auto id = reply.find("id");
  if (id == reply.end() || !id->is_number_unsigned()) return std::nullopt;
  RpcReply result{.id = id->get<std::uint64_t>(), .error = {}};
  if (const auto error = reply.find("error"); error != reply.end()) {
    const auto message = error->is_object() ? error->find("message") : error->end();
    const bool has_text = error->is_object() && message != error->end() && message->is_string();
    if (has_text) {
      result.error = message->get<std::string>();
    } else {  // no dump(): it recurses as deep as the peer nested it
      result.error = error->is_structured() ? "an error without a text" : text(*error);
    }
  } else if (!reply.contains("result")) {
    return std::nullopt;
  }
  return result;
}

bool is_one_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

std::optional<std::string> rtpproxy(std::string_view tag) {
  if (!is_one_line(tag)) return std::nullopt;
  return std::string(tag) + '\n';
}

std::string line(const Event& event) {
  Json out = {{"event", kNames.at(event.what.index())},
              {"time", utc_text(event.time)},
              {"call-id", event.call_id},
              {"from-tag", event.from_tag},
              {"to-tag", event.to_tag}};
  std::visit(Details{out}, event.what);
  return text(out) + '\n';
}

}  // namespace millrace::notification

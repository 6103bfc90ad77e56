// SPDX-License-Identifier: BSD-3-Clause
// rtpengine's ng protocol, as Kamailio's and OpenSIPS' rtpengine modules write it.

#include "control/protocol/ng/bencode.h"
#include "control/protocol/ng/ng.h"
#include "control/sdp/sdp.h"
#include "perf/load/dialect.h"

namespace millrace::loadgen {
namespace {

using bencode::Entries;
using bencode::Value;

std::string sdp_of(const Ask& ask) {
  const Shape& shape = ask.signals->shape;
  const std::string type = std::to_string(shape.payload_type);
  std::string address(name_of(ask.sdp_endpoint.address.family()) == "IPv4" ? "IN IP4 " : "IN IP6 ");
  address += ask.sdp_endpoint.address.text();
  std::string sdp = "v=0\r\no=- 1 1 " + address + "\r\ns=-\r\nc=" + address + "\r\nt=0 0\r\nm=";
  sdp += shape.media;
  sdp += ' ' + std::to_string(ask.sdp_endpoint.port.number()) + " RTP/AVP " + type +
         "\r\na=rtpmap:" + type;
  sdp += ' ';
  sdp += shape.rtpmap;
  sdp += "\r\n";
  if (shape.media == "audio") {
    sdp += "a=ptime:" + std::to_string(std::max<std::int64_t>(shape.interval.count() / 1000, 1));
    sdp += "\r\n";
  }
  sdp += "a=sendrecv\r\n";
  if (ask.signals->rtcp_mux) sdp += "a=rtcp-mux\r\n";
  return sdp;
}

std::string encode(const Ask& ask) {
  bencode::Writer out;
  out.dictionary();
  if (ask.verb == Verb::offer || ask.verb == Verb::answer) {
    out.entry("sdp", sdp_of(ask));
    out.entry("ICE", "remove");
    out.list("flags");
    out.string("trust-address");
    out.end();
    out.list("replace");
    out.string("origin");
    out.end();
    if (ask.signals->directions.size() == 2 && ask.verb == Verb::offer) {
      out.list("direction");
      for (const std::string& interface : ask.signals->directions) out.string(interface);
      out.end();
    }
    out.list("received-from");
    out.string(ask.source.is_v4() ? "IP4" : "IP6");
    out.string(ask.source.text());
    out.end();
  }
  if (!ask.call_id.empty()) {
    out.entry("call-id", ask.call_id);
    out.entry("from-tag", ask.from_tag);
  }
  if (ask.verb == Verb::answer) out.entry("to-tag", ask.to_tag);
  if (ask.verb == Verb::remove) out.entry("delete-delay", std::int64_t{0});
  out.entry("command", name(ask.verb));
  out.end();
  return std::move(out).take();
}

std::optional<Value> find(const Value& dictionary, std::string_view key) {
  Entries entries(dictionary);
  while (const auto entry = entries.next()) {
    if (entry->key == key) return entry->value;
  }
  return std::nullopt;
}

std::string_view text(const Value& dictionary, std::string_view key) {
  const auto value = find(dictionary, key);
  return value ? value->text().value_or("") : "";
}

std::uint64_t number(const Value& dictionary, std::string_view key) {
  const auto value = find(dictionary, key);
  return value ? static_cast<std::uint64_t>(value->integer().value_or(0)) : 0;
}

Result<std::optional<RelayEndpoints>> endpoints_in(std::string_view body) {
  const auto session = sdp::parse(body);
  if (!session) return fail("the relay's SDP: " + session.error().message);
  if (session->sections.size() == 1) {
    const sdp::Media& media = session->sections[0];
    if (media.connection && media.port != UdpPort(0)) {
      return RelayEndpoints{{*media.connection, media.port}, media.rtcp};
    }
  }
  return fail("the relay's SDP names no address and port for the media");
}

Result<std::optional<RelayEndpoints>> decode(Verb verb, std::string_view reply) {
  const auto value = Value::read(reply);
  if (!value) return fail("the reply is no bencoded dictionary");
  const std::string_view result = text(*value, "result");
  if (result == "error") return fail(std::string(text(*value, "error-reason")));
  if (result != (verb == Verb::ping ? "pong" : "ok")) return fail(std::string(result));
  if (verb == Verb::offer || verb == Verb::answer) return endpoints_in(text(*value, "sdp"));
  return std::nullopt;
}

}  // namespace

const Dialect& ng_dialect() {
  static constexpr Dialect dialect{"ng", encode, ng::frame, decode};
  return dialect;
}

std::optional<WorkerCycles> worker_cycles(std::string_view reply) {
  const auto value = Value::read(reply);
  const auto statistics = value ? find(*value, "statistics") : std::nullopt;
  const auto dataplane = statistics ? find(*statistics, "dataplane") : std::nullopt;
  const auto workers = dataplane ? find(*dataplane, "workers")
                                 : (statistics ? find(*statistics, "workers") : std::nullopt);
  if (!workers) return std::nullopt;
  WorkerCycles sum;
  bencode::Items items(*workers);
  while (const auto worker = items.next()) {
    sum.busy += number(*worker, "busy cycles");
    sum.relayed += number(*worker, "relayed");
    sum.per_second = number(*worker, "cycles per second");
  }
  return sum;
}

}  // namespace millrace::loadgen

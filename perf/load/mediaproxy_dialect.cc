// SPDX-License-Identifier: BSD-3-Clause
// MediaProxy's dispatcher protocol, as Kamailio's and OpenSIPS' mediaproxy modules write it.

#include "dataplane/base/text.h"
#include "perf/load/dialect.h"

namespace millrace::loadgen {
namespace {

std::string encode(const Ask& ask) {
  // The protocol has no ping. Removing an unknown call serves as one.
  const auto line = [](std::string_view key, std::string_view value) {
    return std::string(key) + ": " + std::string(value) + "\r\n";
  };
  const bool offer = ask.verb == Verb::offer;
  const std::string call =
      line("call_id", ask.call_id.empty() ? "ping@load.millrace" : ask.call_id);
  const std::string from = line("from_tag", ask.from_tag.empty() ? "ping" : ask.from_tag);
  if (!offer && ask.verb != Verb::answer) {
    return "remove\r\n" + call + from + line("to_tag", ask.to_tag) + "\r\n";
  }
  return "update\r\n" + line("type", offer ? "request" : "reply") + line("dialog_id", "") + call +
         line("cseq", "1") + line("from_uri", "caller@load.millrace") +
         line("to_uri", "callee@load.millrace") + from + line("to_tag", offer ? "" : ask.to_tag) +
         line("user_agent", "millrace-load") + line("signaling_ip", ask.source.text()) +
         line("media_relay", "") +
         line("media", std::string(ask.signals->shape.media) + ':' +
                           ask.sdp_endpoint.address.text() + ':' +
                           std::to_string(ask.sdp_endpoint.port.number()) + ":sendrecv:ice=no") +
         "\r\n";
}

Extent frame(std::string_view input) {
  const std::size_t newline = input.find("\r\n");
  if (newline == std::string_view::npos) return {};
  return {Extent::State::complete, newline + 2};
}

Result<std::optional<RelayEndpoints>> decode(Verb verb, std::string_view reply) {
  const std::string_view whole = reply.substr(0, reply.find('\r'));
  if (verb != Verb::offer && verb != Verb::answer) {
    if (whole == "error") return fail("'error'");
    return std::nullopt;
  }
  const std::size_t space = whole.find(' ');
  const auto address = IpAddress::parse(whole.substr(0, space));
  const auto port = space == std::string_view::npos
                        ? std::nullopt
                        : decimal<std::uint16_t>(whole.substr(space + 1));
  if (!address || !port || *port == 0) return fail("'" + std::string(whole) + "'");
  const UdpPort rtp(*port);
  return RelayEndpoints{{*address, rtp}, {*address, rtp.next()}};
}

}  // namespace

const Dialect& mediaproxy_dialect() {
  static constexpr Dialect dialect{"mediaproxy", encode, frame, decode};
  return dialect;
}

}  // namespace millrace::loadgen

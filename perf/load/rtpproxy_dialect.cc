// SPDX-License-Identifier: BSD-3-Clause
// rtpproxy's command protocol, as Kamailio's and OpenSIPS' rtpproxy modules write it.

#include <array>

#include "dataplane/base/text.h"
#include "perf/load/dialect.h"

namespace millrace::loadgen {
namespace {

constexpr std::string_view kVersion = "20040107";

std::string encode(const Ask& ask) {
  const std::string end = ask.delimited ? "\n" : "";
  const std::string call(ask.call_id);
  const std::string from(ask.from_tag);
  const std::string to(ask.to_tag);
  switch (ask.verb) {
    case Verb::offer:
    case Verb::answer: {
      std::string options = ask.sdp_endpoint.address.is_v4() ? "" : "6";
      options += 'c' + std::to_string(ask.signals->shape.payload_type);
      // Use the SIP message's source in place of the address in the SDP.
      const std::string where = call + ' ' + ask.source.text() + ' ' +
                                std::to_string(ask.sdp_endpoint.port.number()) + ' ' + from + ";1";
      if (ask.verb == Verb::offer) return 'U' + options + ' ' + where + end;
      return 'L' + options + ' ' + where + ' ' + to + ";1" + end;
    }
    case Verb::remove:
      return "D " + call + ' ' + from + ' ' + to + end;
    default:
      return 'V' + end;
  }
}

Extent frame(std::string_view input) {
  const std::size_t newline = input.find('\n');
  if (newline == std::string_view::npos) return {};
  return {Extent::State::complete, newline + 1};
}

// Removes and returns the first word of a reply.
std::string_view next_word(std::string_view& reply) {
  reply.remove_prefix(std::min(reply.find_first_not_of(" \r\n"), reply.size()));
  const std::string_view word = reply.substr(0, reply.find_first_of(" \r\n"));
  reply.remove_prefix(word.size());
  return word;
}

Result<std::optional<RelayEndpoints>> decode(Verb verb, std::string_view reply) {
  const std::string whole(reply.substr(0, reply.find_first_of("\r\n")));
  const std::string_view first = next_word(reply);
  if (verb == Verb::offer || verb == Verb::answer) {
    const auto port = decimal<std::uint16_t>(first);
    const auto address = IpAddress::parse(next_word(reply));
    if (!port || *port == 0 || !address) return fail("'" + whole + "'");
    const UdpPort rtp(*port);
    return RelayEndpoints{{*address, rtp}, {*address, rtp.next()}};
  }
  if (first != (verb == Verb::ping ? kVersion : "0")) return fail("'" + whole + "'");
  return std::nullopt;
}

}  // namespace

const Dialect& rtpproxy_dialect() {
  static constexpr Dialect dialect{"rtpproxy", encode, frame, decode};
  return dialect;
}

}  // namespace millrace::loadgen

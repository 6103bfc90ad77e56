// SPDX-License-Identifier: BSD-3-Clause
#include "control/sdp/named_media.h"

#include <string>

namespace millrace {
namespace {

bool is_rtp(const NamedMedia& media) {
  if (!media.protocol.empty()) return media.protocol.find("RTP/") != std::string_view::npos;
  return media.type == "audio" || media.type == "video" || media.type == "text";
}

sdp::Direction direction(const NamedMedia& media) {
  if (media.sends) return media.receives ? sdp::Direction::sendrecv : sdp::Direction::sendonly;
  return media.receives ? sdp::Direction::recvonly : sdp::Direction::inactive;
}

sdp::Media describe(const NamedMedia& named) {
  sdp::Media media;
  const bool rejected = named.endpoint.port == UdpPort(0);
  media.type = named.type;
  media.protocol = named.protocol;
  media.port = named.endpoint.port;
  media.relayable = true;
  media.rtp = is_rtp(named);
  media.connection = named.endpoint.address;
  media.held_by_address = named.endpoint.address.is_unspecified() && !named.ice && !rejected;
  // A media section of unknown type may have RTCP.
  if ((media.rtp || named.type.empty()) && !rejected) {
    media.rtcp = {named.endpoint.address, named.endpoint.port.next()};
  }
  if (named.ice) media.ice_ufrag = "-";  // any value: the protocol does not send it
  media.direction = direction(named);
  media.payload_types = named.payload_types;
  media.clock_hz = named.type == "video" ? 90000 : 8000;
  return media;
}

}  // namespace

Result<sdp::Session> name_sections(std::span<const NamedMedia> sections) {
  sdp::Session session;
  for (const NamedMedia& named : sections) {
    const auto which = [&] { return "Media number " + std::to_string(named.index); };
    if (named.index == 0 || named.index > sdp::kMaxSections) {
      return fail(which() + " is out of range; count from 1 to " +
                  std::to_string(sdp::kMaxSections));
    }
    while (session.sections.size() < named.index) session.sections.emplace_back().given = false;
    sdp::Media& media = session.sections[named.index - 1];
    if (media.given) return fail(which() + " is named twice");
    media = describe(named);
  }
  return session;
}

}  // namespace millrace

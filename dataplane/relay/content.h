// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Classifies and validates a datagram by the rules of its path: first byte (RFC 7983), then the
// header of the protocol.
//
// The slot's flags select the rules: RTP, RTCP, both on one port (RFC 5761) or SRTP, where only
// headers can be checked. An opaque path accepts every datagram. examine() returns the kind and the
// header fields that latching and statistics need, or the drop reason.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

#include "dataplane/flow/flow_table.h"
#include "dataplane/wire/rtp.h"
#include "dataplane/wire/stun.h"

namespace millrace {

struct Content {
  Evidence::Kind kind = Evidence::Kind::datagram;
  RtpFields rtp{};         // rtp
  std::uint32_t ssrc = 0;  // rtcp: of the sender

  [[nodiscard]] Evidence evidence() const {
    if (kind != Evidence::Kind::rtp) return {.kind = kind, .ssrc = ssrc};
    return {kind, rtp.payload_type, rtp.sequence, rtp.ssrc};
  }
};

// `flags` of the slot's rule.
[[nodiscard]] inline std::expected<Content, DropReason> examine(std::span<const std::byte> datagram,
                                                                std::uint32_t flags) {
  using Kind = Evidence::Kind;
  const bool opaque = (flags & (flow_flag::kRtp | flow_flag::kRtcp)) == 0;
  const bool encrypted = (flags & flow_flag::kCipher) != 0;
  if (opaque && datagram.empty()) return Content{.kind = Kind::keepalive};
  if (opaque) return Content{.kind = is_stun(datagram) ? Kind::stun : Kind::datagram};
  if (datagram.empty()) return std::unexpected(DropReason::empty_datagram);

  switch (protocol_of(datagram[0])) {
    case Protocol::stun:
      if (!is_stun(datagram)) return std::unexpected(DropReason::stun_malformed);
      return Content{.kind = Kind::stun};
    case Protocol::zrtp:
      return Content{.kind = is_zrtp(datagram) ? Kind::zrtp : Kind::datagram};
    case Protocol::dtls:
      return Content{.kind = is_dtls(datagram) ? Kind::dtls : Kind::datagram};
    case Protocol::rtp:
      break;
    case Protocol::turn_channel:
    case Protocol::unknown:
      return std::unexpected(DropReason::unknown_protocol);
  }
  const bool shared = (flags & flow_flag::kMux) != 0;
  const bool rtcp = (flags & flow_flag::kRtcp) != 0 ||
                    (shared && datagram.size() > 1 && is_rtcp_type(datagram[1]));
  // Without rtcp-mux some parties send RTCP to the RTP port all the same.
  if (rtcp || (datagram.size() > 1 && may_be_report(datagram[1]))) {
    const auto header = parse_rtcp(datagram, encrypted);
    if (header) return Content{.kind = Kind::rtcp, .ssrc = header->ssrc.host()};
    if (rtcp || is_surely_report(datagram[1])) return std::unexpected(DropReason::rtcp_malformed);
  }
  const auto header = parse_rtp(datagram, encrypted);
  if (!header) return std::unexpected(DropReason::rtp_malformed);
  return Content{.kind = Kind::rtp, .rtp = *header};
}

}  // namespace millrace

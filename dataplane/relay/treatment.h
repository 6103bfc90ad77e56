// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a SIP proxy has asked to be done to a side's media: block it, silence it, block its DTMF.
//
// Media is RTP, or any datagram of an opaque path; RTCP, STUN and DTLS pass, so that a blocked call
// stays alive. Silence keeps the packets and replaces the payload of G.711 (RFC 3551 payload types
// 0 and 8) in place; what cannot be silenced so, another codec or SRTP, is dropped instead.

#include <cstddef>
#include <optional>
#include <span>

#include "dataplane/flow/flow.h"
#include "dataplane/relay/content.h"

namespace millrace {

// Treats one admitted packet, whose UDP header lies before `payload`, by the flags and types of its
// slot: the reason to drop it, or nothing. Precondition: examine() has found `content` in it.
[[nodiscard]] std::optional<DropReason> treat(std::span<std::byte> payload, const Content& content,
                                              std::uint32_t flags, const Record& record);

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Blocks or silences media of one side, or blocks its DTMF, as the SIP proxy requested.
//
// Media is RTP, or any datagram of an opaque path. RTCP, STUN and DTLS pass, so that a blocked call
// stays alive. Silencing keeps the packets and overwrites the G.711 payload (RFC 3551 payload types
// 0 and 8) in place. Other codecs and SRTP cannot be silenced; their packets are dropped.

#include <cstddef>
#include <optional>
#include <span>

#include "dataplane/flow/flow.h"
#include "dataplane/relay/content.h"

namespace millrace {

// True if the packet's payload type is dropped because its m= line has media of another kind now.
// Precondition: the slot has kFiltered.
[[nodiscard]] bool is_retired(const Content& content, const Record& record);

// Applies the slot's `flags` and dropped payload types to one admitted packet. Returns the drop
// reason, or nothing. Preconditions: the UDP header precedes `payload`; examine() returned
// `content` for it.
[[nodiscard]] std::optional<DropReason> apply_blocking(std::span<std::byte> payload,
                                                       const Content& content, std::uint32_t flags,
                                                       const Record& record);

}  // namespace millrace

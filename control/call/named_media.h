// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Sections that a protocol names one by one instead of handing over the SDP (rtpproxy, MediaProxy),
// as the description that the SDP would have become: what follows is one path for both.
//
// The result has as many sections as the highest index; those that are not named are not `given`,
// and it has no lines. RTCP is where RFC 3550 section 11 puts it, at port + 1. Without a protocol,
// audio, video and text are RTP, which may be encrypted; all else is opaque datagrams.

#include <span>

#include "control/command/request.h"
#include "control/sdp/sdp.h"

namespace millrace {

// Fails if an index is 0, too high or named twice. Views into what `sections` views.
[[nodiscard]] Result<sdp::Session> name_sections(std::span<const NamedMedia> sections);

}  // namespace millrace

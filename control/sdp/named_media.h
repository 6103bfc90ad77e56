// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Converts media sections of protocols that send endpoints instead of SDP (rtpproxy, MediaProxy)
// into the type that parsed SDP has, so that both take one path.
//
// The result has as many media sections as the highest index. Sections without a name are not
// `given`. The result has no lines. RTCP is at port + 1 (RFC 3550 section 11). Without a protocol,
// audio, video and text are RTP, which may be encrypted. All other types are opaque datagrams.

#include <span>

#include "control/command/request.h"
#include "control/sdp/sdp.h"

namespace millrace {

// Fails if an index is 0, too high or repeated. The result views the texts that `sections` views.
[[nodiscard]] Result<sdp::Session> name_sections(std::span<const NamedMedia> sections);

}  // namespace millrace

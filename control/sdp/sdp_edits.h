// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a proxy may want changed in an SDP that has nothing to do with where media goes.
//
// In this order. choose_codecs() makes the text anew before anything else looks at it: a codec that
// it strips has never been offered. adjust() takes from the parsed SDP what is not to be relayed.
// rewrite() (sdp.h) prints it. edit_lines() is blind: attribute lines go, change or are added, and
// nobody reads what they mean. keep_origin() comes last, since it must know whether the rest has
// changed. Lines that nobody was told to touch pass byte for byte, and doing it all twice is doing
// it once.

#include <string>
#include <string_view>

#include "control/command/edits.h"
#include "control/sdp/sdp.h"

namespace millrace::sdp {

// The body with the formats of its RTP media chosen, and a=rtpmap, a=fmtp and a=rtcp-fb of the
// others gone. A retransmission (RFC 4588) goes with its codec. A media that would be left without
// any format keeps them all.
[[nodiscard]] std::string choose_codecs(const Session& session, const CodecChoice& choice);

[[nodiscard]] std::string edit_lines(std::string_view body, const LineEdits& edits);
// Whether this process has put its mark into it before.
[[nodiscard]] bool has_looped(std::string_view body);

[[nodiscard]] std::string keep_origin(std::string body, Origin& origin, const OriginEdits& edits);

// Whether one protocol may stand for the other in m=: profiles that differ in feedback alone (RFC
// 4585, RFC 5124), so that no packet has to change.
[[nodiscard]] bool interchangeable(std::string_view protocol, std::string_view other);

// Upper bound of the bytes that rewrite() and edit_lines() print of `session`. Every added line may
// go to each section and every line may be substituted by the longest text.
[[nodiscard]] std::size_t largest_print(const Session& session, const LineEdits& edits);

// Why the edits cannot be done: packets would have to change, or the SDP could pass kMaxPrinted.
[[nodiscard]] Result<void> check(const Session& session, const Edits& edits);
// Why an offer cannot be bundled (RFC 9143): packets of several ports would have to share one.
[[nodiscard]] Result<void> check_bundle(const Session& session, const Edits& edits);
void adjust(Session& session, const Edits& edits);
// What of them is left undone since a relay that only forwards cannot do it; empty: nothing.
[[nodiscard]] std::string unsupported_bundle(const Session& session, const Edits& edits);

}  // namespace millrace::sdp

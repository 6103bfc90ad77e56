// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SDP edits requested by a proxy, apart from transport addresses.
//
// Order of the steps: choose_codecs() filters the received body before it is parsed for the call,
// so a stripped codec counts as never offered. adjust() rejects sections of unwanted media types in
// the parsed SDP. rewrite() (sdp.h) prints it. keep_first_codec() filters the printed body: its
// sender may still use the other codecs. edit_lines() removes, substitutes and adds attribute lines
// of the printed body without interpreting them. keep_origin() is last: the version in o= depends
// on changes in all other lines.
// Untouched lines are copied verbatim; edits are idempotent.

#include <string>
#include <string_view>

#include "control/command/edits.h"
#include "control/sdp/sdp.h"

namespace millrace::sdp {

// Returns the body with the selected formats of its RTP sections, without a=rtpmap, a=fmtp and
// a=rtcp-fb of the others. RTX (RFC 4588) is removed with its codec. A section that would lose all
// formats keeps them all, or has port 0 (CodecChoice::allow_none).
[[nodiscard]] std::string choose_codecs(const Session& session, const CodecChoice& choice);
// Returns the body with the first codec of each RTP section. Formats that no media is encoded in
// stay: telephone-event, CN, RED, FEC, and RTX of that codec.
[[nodiscard]] std::string keep_first_codec(std::string body);

[[nodiscard]] std::string edit_lines(std::string_view body, const LineEdits& edits);
// Whether this process has added its loop mark to `body` before.
[[nodiscard]] bool has_looped(std::string_view body);

// Restores s=, and user and session id in o=, from `origin` and increments the version, as `edits`
// request, and updates `origin`. An o= without a numeric version is unchanged.
[[nodiscard]] std::string keep_origin(std::string body, Origin& origin, const OriginEdits& edits);

// Whether one protocol may replace the other in m=: the profiles differ in feedback only (RFC 4585,
// RFC 5124), so that packets need no change.
[[nodiscard]] bool interchangeable(std::string_view protocol, std::string_view other);

// Upper bound of the bytes that rewrite() and edit_lines() print of `session`. Assumes that each
// section gets every added line, and that the longest substitute replaces every line.
[[nodiscard]] std::size_t largest_print(const Session& session, const LineEdits& edits);

// Fails if the edits need changes to packets, if an unsupported option is refused for this SDP, or
// if rewrite() and edit_lines() could print more than kMaxPrinted bytes.
[[nodiscard]] Result<void> check(const Session& session, const Edits& edits);
// Fails if BUNDLE (RFC 9143) is required for an offer without it: the relay cannot merge ports.
[[nodiscard]] Result<void> check_bundle(const Session& session, const Edits& edits);
void adjust(Session& session, const Edits& edits);
// Warnings of the unsupported options that concern this SDP, joined by "; "; empty: none.
[[nodiscard]] std::string unsupported_options(const Session& session, const Edits& edits);
// Warning for media over transports that the relay does not know and copies: it passes around the
// relay. TCP is known not to be relayed, and no warning. Empty: none.
[[nodiscard]] std::string unknown_transports(const Session& session);
// Warning for BUNDLE edits that a forwarding relay cannot do; empty: none.
[[nodiscard]] std::string unsupported_bundle(const Session& session, const Edits& edits);

}  // namespace millrace::sdp

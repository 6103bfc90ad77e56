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

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/sdp.h"

namespace millrace::sdp {

// Codecs by encoding name, "NAME/CLOCK", "NAME/CLOCK/CHANNELS" or payload type; case is ignored.
struct CodecChoice {
  std::vector<std::string> strip;   // these go; "all" and "full" mean every one
  std::vector<std::string> except;  // these stay nevertheless
  std::vector<std::string> offer;   // these too, and they come first, in this order

  [[nodiscard]] bool empty() const { return strip.empty() && offer.empty(); }
};

// The body with the formats of its RTP media chosen, and a=rtpmap, a=fmtp and a=rtcp-fb of the
// others gone. A retransmission (RFC 4588) goes with its codec. A media that would be left without
// any format keeps them all.
[[nodiscard]] std::string choose_codecs(const Session& session, const CodecChoice& choice);

// Attribute lines of some sections, without their "a=".
struct AttributeEdits {
  enum class Where : std::uint8_t { session, medias, everywhere };
  Where where = Where::session;
  std::string type;  // of the media; empty: any
  std::vector<std::string> add;
  // A whole attribute; or its beginning, up to a ':' or what follows a space: "ssrc", "ssrc:",
  // "ssrc:1234".
  std::vector<std::string> remove;
  std::vector<std::pair<std::string, std::string>> substitute;  // a whole attribute by another
};

struct LineEdits {
  std::vector<AttributeEdits> attributes;
  bool generate_mid = false;  // a=mid where a media has none (RFC 5888)
  bool loop_mark = false;     // a=millrace:<this process>

  [[nodiscard]] bool empty() const { return attributes.empty() && !generate_mid && !loop_mark; }
};

[[nodiscard]] std::string edit_lines(std::string_view body, const LineEdits& edits);
// Whether this process has put its mark into it before.
[[nodiscard]] bool has_looped(std::string_view body);

// What o= said last to one reader.
struct Origin {
  std::string user, id;
  std::uint64_t version = 0;
  std::string content;  // all but o=
};
struct OriginEdits {
  bool user = false;       // its user name stays what it was first
  bool id = false;         // and its session id
  bool version = false;    // its version grows by one when the rest changes (RFC 3264 section 8)
  bool increment = false;  // or whether it changes or not

  [[nodiscard]] bool empty() const { return !user && !id && !version && !increment; }
};

[[nodiscard]] std::string keep_origin(std::string body, Origin& origin, const OriginEdits& edits);

// All of them.
struct Edits {
  CodecChoice codecs;
  std::vector<std::string> remove_medias;  // media types that are rejected
  bool separate_rtcp = false;              // no a=rtcp-mux
  bool demux_asked = false;                // though the sender was to go on with it
  bool require_mux = false;                // where it is offered: no port for RTCP
  bool offer_mux = false;
  bool no_bundle = false;
  std::string protocol;  // in m= of RTP media: "RTP/AVPF"; "accept": as it is; empty: see print()
  bool no_rtcp_attribute = false, full_rtcp_attribute = false;
  bool replace_zero_address = false;
  LineEdits lines;
  OriginEdits origin;
};

// Whether one protocol may stand for the other in m=: profiles that differ in feedback alone (RFC
// 4585, RFC 5124), so that no packet has to change.
[[nodiscard]] bool interchangeable(std::string_view protocol, std::string_view other);

// Why the edits cannot be done: packets would have to change.
[[nodiscard]] Result<void> check(const Session& session, const Edits& edits);
void adjust(Session& session, const Edits& edits);
// What of them is left undone since a relay that only forwards cannot do it; empty: nothing.
[[nodiscard]] std::string shortfall(const Session& session, const Edits& edits);

}  // namespace millrace::sdp

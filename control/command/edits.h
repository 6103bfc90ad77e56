// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a proxy may ask to be changed in an SDP, beside where media goes: values only, for requests;
// sdp_edits.h carries them out.

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

// Handling of ICE. The relay is no ICE agent: it cannot speak ICE for a party without it.
enum class IceHandling : std::uint8_t {
  add,         // where a party has ICE, the relay is one more candidate
  force,       // the same, and the reply warns where a party has none
  relay_only,  // the relay is the only candidate
  remove,
};

}  // namespace millrace

namespace millrace::sdp {

// Codec names, attribute lines and media types in one request, together. Each is compared with
// every line of an SDP.
inline constexpr std::size_t kMaxEdits = 128;

// Codecs by encoding name, "NAME/CLOCK", "NAME/CLOCK/CHANNELS" or payload type; case is ignored.
struct CodecChoice {
  std::vector<std::string> strip;   // these go; "all" and "full" mean every one
  std::vector<std::string> except;  // these stay nevertheless
  std::vector<std::string> offer;   // these too, and they come first, in this order

  [[nodiscard]] bool empty() const { return strip.empty() && offer.empty(); }
};

// Attribute lines of some sections, without their "a=".
struct AttributeEdits {
  enum class Where : std::uint8_t { session, sections, everywhere };
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

// What is asked of a=rtcp-mux with an offer (RFC 5761); by default it is for the parties to agree.
struct MuxChoice {
  bool offer = false;    // to the reader, whether the sender does or not
  bool require = false;  // the same, and it is named no port for RTCP
  bool demux = false;    // not to the reader; the sender may go on with it
  bool accept = false;   // the sender may, whatever the reader answers
  bool reject = false;   // the sender may not, whatever the reader answers
};

// All of them.
struct Edits {
  CodecChoice codecs;
  std::vector<std::string> remove_media_types;  // media types that are rejected
  MuxChoice mux;
  IceHandling ice = IceHandling::add;
  bool prefer_relay = false;          // its candidate comes before all others, else after them
  bool replace_origin = false;        // address in o=
  bool replace_session_name = false;  // s=
  bool no_bundle = false;
  bool offer_bundle = false, require_bundle = false;
  std::string protocol;  // in m= of RTP media: "RTP/AVPF"; "accept": as it is; empty: see print()
  bool no_rtcp_attribute = false, full_rtcp_attribute = false;
  bool replace_zero_address = false;
  LineEdits lines;
  OriginEdits origin;
};

}  // namespace millrace::sdp

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SDP changes that a proxy may request, beside the media addresses. Values only; sdp_edits.h
// implements them.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

// ICE handling. The relay is not an ICE agent: it cannot act for a party without ICE.
enum class IceHandling : std::uint8_t {
  add,          // add the relay's candidate where a party uses ICE
  force,        // the same, and warn in the reply where a party does not
  force_relay,  // the relay's candidate replaces those of type relay; c= and m= stay
  relay_only,   // the relay is the only candidate
  remove,
};

}  // namespace millrace

namespace millrace::sdp {

// Codec names, attribute lines and media types of one request, in total. Each is compared with
// every line of an SDP.
inline constexpr std::size_t kMaxEdits = 128;

// Codecs by encoding name, "NAME/CLOCK", "NAME/CLOCK/CHANNELS" or payload type; case is ignored.
struct CodecChoice {
  std::vector<std::string> strip;   // to remove; "all" and "full" mean every codec
  std::vector<std::string> except;  // to keep in spite of strip
  std::vector<std::string> offer;   // the same, moved to the front in this order
  bool allow_none = false;          // reject a section that loses all formats; else it keeps them

  [[nodiscard]] bool empty() const { return strip.empty() && offer.empty(); }
};

// Attribute lines without "a=", and the sections to edit.
struct AttributeEdits {
  enum class Where : std::uint8_t { session, sections, everywhere };
  Where where = Where::session;
  std::string type;  // media type; empty: any
  std::vector<std::string> add;
  // To remove, and in the first of a pair to substitute: a whole attribute, or a prefix that ends
  // before or at a ':', or before a space: "ssrc", "ssrc:", "ssrc:1234".
  std::vector<std::string> remove;
  std::vector<std::pair<std::string, std::string>> substitute;  // from, to a whole attribute
};

struct LineEdits {
  std::vector<AttributeEdits> attributes;
  bool generate_mid = false;  // a=mid in sections without one (RFC 5888)
  bool loop_mark = false;     // a=millrace:<this process>

  [[nodiscard]] bool empty() const { return attributes.empty() && !generate_mid && !loop_mark; }
};

// The last o= line sent to one party, and the first s= line.
struct Origin {
  std::string user, id;
  std::uint64_t version = 0;
  std::string content;                           // all but o=
  std::optional<std::string> session_name = {};  // none: none sent yet
  friend bool operator==(const Origin&, const Origin&) = default;
};

struct OriginEdits {
  bool user = false;          // keep the first user name
  bool id = false;            // keep the first session id
  bool version = false;       // increment the version when the rest changes (RFC 3264 section 8)
  bool increment = false;     // increment it always
  bool session_name = false;  // keep the first s=

  [[nodiscard]] bool empty() const {
    return !user && !id && !version && !increment && !session_name;
  }
};

// Handling of a=rtcp-mux in an offer (RFC 5761). Default: the parties negotiate it.
struct MuxChoice {
  bool offer = false;    // offer it to the receiver, even if the sender does not
  bool require = false;  // the same, without a port for RTCP
  bool demux = false;    // do not offer it to the receiver; the sender may still use it
  bool accept = false;   // accept it towards the sender, whatever the receiver answers
  bool reject = false;   // reject it towards the sender, whatever the receiver answers
};

// An unsupported option that concerns only SDPs with a property.
struct ConditionalOption {
  enum class Of : std::uint8_t { keys, ice, dtls, no_dtls };  // keys: encryption of any kind
  Of of;
  bool refused;  // `text` is the error of the request; else it is a warning
  std::string text;
};

// All edits of one request.
struct Edits {
  CodecChoice codecs;
  bool single_codec = false;                    // print the first codec of each section only
  std::vector<std::string> remove_media_types;  // sections to reject; "other": all types but
                                                // audio, video, image and message
  std::vector<ConditionalOption> conditional;   // at most one refused for each `of`
  MuxChoice mux;
  IceHandling ice = IceHandling::add;
  bool prefer_relay = false;    // the relay's candidate first, else last
  bool replace_origin = false;  // address in o=
  bool no_bundle = false;
  bool offer_bundle = false, require_bundle = false;
  std::string protocol;  // for m= of RTP: "RTP/AVPF"; "accept": unchanged; empty: see print()
  bool no_rtcp_attribute = false, full_rtcp_attribute = false;
  bool replace_zero_address = false;
  LineEdits lines;
  OriginEdits origin;
};

}  // namespace millrace::sdp

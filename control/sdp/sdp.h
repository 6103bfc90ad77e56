// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SDP (RFC 8866) for a media relay: parse and rewrite the transport addresses.
//
// parse() splits a body into lines once and keeps views into it. rewrite() copies all lines in
// order and verbatim, with their endings, except those with a transport address: c=, the port of
// m=, a=rtcp, and on request the address in o= and the ICE attributes. A media section over a
// transport that a UDP relay cannot carry (TCP, MSRP) is copied verbatim.
//
// parse() accepts common faults with a clear meaning: mixed CRLF and LF; a missing newline at the
// end; empty lines; repeated spaces, TABs, blanks around an attribute's name; missing o=, s= and
// t=; an o= of any form; wrong order of lines; unknown lower-case line types. Of `port/count` it
// takes the first pair. An unusable a=rtcp is ignored, as RTCP has a default port. It refuses input
// on whose media address two parsers could disagree: NUL, a bare CR, a second v=, o= or s=, a
// second c= with another address, numbers out of range and multicast. It refuses host names, as a
// relay must not wait for a resolver.

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/net.h"
#include "dataplane/base/small_vector.h"

namespace millrace::sdp {

inline constexpr std::size_t kMaxBody = 65536;  // bytes
inline constexpr std::size_t kMaxLine = 8192;   // bytes, without its ending
inline constexpr std::size_t kMaxLines = 4096;
inline constexpr std::size_t kMaxSections = 64;
inline constexpr std::size_t kMaxPrinted = 4 * kMaxBody;  // bytes of a body in a reply
// Bytes that rewrite() may add to the session level and to each media section.
inline constexpr std::size_t kMaxSectionGrowth = 640;
// Candidate addresses of each family in one media section; further ones are ignored.
inline constexpr std::size_t kMaxCandidates = 16;

enum class Direction : std::uint8_t { sendrecv, sendonly, recvonly, inactive };

// One media section: an m= line and the lines up to the next one.
struct Media {
  std::string_view type;         // "audio", "video", "image", "application", ...
  std::string_view protocol;     // "RTP/AVP", "udptl", ...
  UdpPort port;                  // 0 = rejected or removed, unless bundle_only
  bool given = true;             // false: absent from a request that lists sections by number
                                 // (named_media.h)
  bool relayable = false;        // a UDP transport; has a connection unless port is 0
  bool rtp = false;              // RTP over UDP; else opaque datagrams
  bool own_connection = false;   // has a media-level c=
  bool held_by_address = false;  // c= is 0.0.0.0 or "::" (RFC 3264 section 8.4); with ICE it
                                 // means "no default candidate yet" (RFC 8840), not a hold
  bool rtcp_mux = false;         // RFC 5761
  bool bundle_only = false;
  bool rtcp_candidates = false;               // has candidates of component 2
  Direction direction = Direction::sendrecv;  // media level over session level
  std::optional<IpAddress> connection;        // c= of the section, else of the session; none: no c=
  Endpoint rtcp;                   // a usable a=rtcp (RFC 3605), else connection address and
                                   // port + 1; RTP only; port 0 = none
  std::string_view mid;            // a=mid (RFC 5888)
  std::bitset<128> payload_types;  // of m=; empty unless rtp
  std::bitset<128> dtmf_types;     // of telephone-event (RFC 4733)
  std::string_view codec;          // of the first payload type: "PCMU/8000"
  std::uint32_t clock_hz = 8000;   // of the first payload type (RFC 3551 table, rtpmap)
  std::string_view ice_ufrag;  // identifies the ICE session (RFC 8839 section 5.4); empty: no ICE
  std::vector<IpAddress> remote_candidates;  // chosen by completed ICE (section 5.2)
  std::vector<IpAddress> candidates;  // of UDP ICE candidates that can be sent to, unique, at most
                                      // kMaxCandidates of a family; best first (CandidateList)
};

struct Line {
  std::string_view text;    // without its line ending
  std::string_view ending;  // "\r\n", "\n", or "" for an unfinished last line
};

struct Session {
  std::vector<Line> lines;
  std::vector<Media> sections;
  SmallVector<std::size_t, 2> media_starts;  // index in lines of each m=
  bool own_connection = false;               // has a session-level c=
  bool bundle = false;                       // has an a=group:BUNDLE (RFC 9143)
};

// Parses a body; the result views `body`. Errors are "line N: FAULT; REMEDY".
[[nodiscard]] Result<Session> parse(std::string_view body);

struct MediaRewrite {
  IpAddress address;                  // printed in c= (and a=rtcp); ignored if port is 0
  UdpPort port;                       // printed in m=; 0 = rejected
  UdpPort rtcp;                       // RTCP port; equal to port if multiplexed
  bool untouched = false;             // copy the whole section (not relayable)
  std::string protocol = {};          // printed in m=; empty: unchanged
  std::optional<bool> rtcp_mux = {};  // add or remove a=rtcp-mux; none: unchanged
};

// ICE attributes of relayed sections with ICE (a=ice-ufrag).
enum class Ice : std::uint8_t {
  keep,  // unchanged; only where the receiver will not detect an ICE mismatch between c= and
         // the candidates (RFC 8839 section 4.2.5)
  add,   // add a candidate of type relay
  replace_relay,  // replace the candidates of type relay by the relay's; c=, the port of m= and
                  // a=rtcp are unchanged
  relay_only,     // replace all candidates by the relay's
  remove,         // remove a=candidate, a=ice-*, a=remote-candidates, ...
};

enum class RtcpAttribute : std::uint8_t {
  needed,  // if RTCP is neither at port + 1 nor multiplexed, or if the sender wrote one
  never,
  full,  // always, with address
};

struct Rewrite {
  std::vector<MediaRewrite> sections;  // as many as Session::sections
  std::optional<IpAddress> origin;     // printed in o=, if that ends in an address
  Ice ice = Ice::keep;
  bool prefer_relay = false;  // priority of the relay's candidate above, else below all others
  RtcpAttribute rtcp = RtcpAttribute::needed;
  bool replace_zero_address = false;  // convert hold by address to hold by direction
};

// Prints the body with these changes:
// - A relayed section has `port` in m= and `address` in its c=. A section without c= uses the
//   session's c=, and gets its own (after m= and i=) only if the session's has another address.
// - The session's c= has the address of the first relayed section that uses it, else of the first
//   relayed section. An untouched section that used it gets a copy of the old c=. If no section is
//   relayed, the session's c= is unchanged.
// - Empty lines before the last other line are removed: some parsers take one for the end.
// - A repeated c= of the session or of a relayed section is removed.
// - A hold by address stays a hold: c= has 0.0.0.0 or "::", as received. With replace_zero_address,
//   and if `address` is of the other family, c= has `address`, and a=sendonly or a=inactive
//   replaces the direction.
// - A section with port 0 stays rejected, unless bundle-only. A rejected section has port 0, no
//   a=rtcp, 0.0.0.0 or "::" in its own c=, and no a=bundle-only unless Media::bundle_only is set.
// - a=rtcp gets the `rtcp` port, and `address` if it had an address. Further a=rtcp are removed. An
//   a=rtcp is added at the end of the section if RTCP is not at port + 1, unless a=rtcp-mux places
//   it at `port`. Rewrite::rtcp can suppress a=rtcp, or force it with address.
// - a=rtcp-mux is added at the end of a relayed section, or removed together with a=rtcp-mux-only
//   (RFC 8858).
// - The relay's candidates have `address` and `port`, and `rtcp` for component 2 if the section has
//   candidates of component 2, or neither candidates nor a=rtcp-mux. They precede the first
//   a=candidate.
// - With Ice::replace_relay, a section with ICE keeps its addresses: it gets a copy of the old
//   session's c= if it used that and the new one has another address.
// - An untouched section keeps its ICE attributes. `ice` applies to the others and to the session.
// Idempotent: rewriting the result with the same values changes nothing.
// Precondition: rewrite.sections.size() == session.sections.size().
[[nodiscard]] std::string rewrite(const Session& session, const Rewrite& rewrite);

}  // namespace millrace::sdp

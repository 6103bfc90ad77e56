// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SDP (RFC 8866) as a media relay needs it: read what decides where media goes, rewrite only that.
//
// parse() splits a body into lines once and keeps views into it; rewrite() walks these lines once
// more and copies every line unchanged, in order, but the few that name a transport address: c=,
// the port of m=, a=rtcp, and on request the address in o=, s= and the ICE attributes. A line that
// it does not understand passes through byte for byte, and so does its line ending.
// A media description over a transport that a UDP relay cannot carry (TCP, MSRP) passes untouched.
//
// Lenient where senders err and the meaning stays clear: CRLF and LF, also mixed; no newline at the
// end, or empty lines there; repeated spaces; missing o=, s= and t=; lines in the wrong order;
// unknown lower-case line types. Strict where two readers could disagree about where media goes:
// NUL, a bare CR, an empty line inside, a second v=, o=, s= or c=, `port/count`, numbers out of
// range, multicast, and host names (a relay must not wait for a resolver).

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace::sdp {

inline constexpr std::size_t kMaxBody = 65536;  // bytes
inline constexpr std::size_t kMaxLine = 8192;   // bytes, without its ending
inline constexpr std::size_t kMaxLines = 4096;
inline constexpr std::size_t kMaxSections = 64;
inline constexpr std::size_t kMaxPrinted = 4 * kMaxBody;  // bytes of a body in a reply
// What rewrite() may add to the session and to each media description, in bytes.
inline constexpr std::size_t kMaxSectionGrowth = 640;
inline constexpr std::size_t kMaxCandidates =
    16;  // addresses of one media; further ones are ignored

enum class Direction : std::uint8_t { sendrecv, sendonly, recvonly, inactive };

struct Media {
  std::string_view type;         // "audio", "video", "image", "application", ...
  std::string_view protocol;     // "RTP/AVP", "udptl", ...
  UdpPort port;                  // 0 = rejected or removed, unless bundle_only
  bool given = true;             // false only where sections are named one by one
                                 // (named_media.h): nothing is said of this one
  bool relayable = false;        // a UDP transport; has a connection unless port is 0
  bool rtp = false;              // RTP over UDP; else opaque datagrams
  bool own_connection = false;   // c= stands in this media description
  bool held_by_address = false;  // c= is 0.0.0.0 or "::" (RFC 3264 section 8.4); with ICE it
                                 // means "no default candidate yet" (RFC 8840), not a hold
  bool rtcp_mux = false;         // RFC 5761
  bool bundle_only = false;
  bool rtcp_candidates = false;               // there are candidates of component 2
  Direction direction = Direction::sendrecv;  // media level over session level
  std::optional<IpAddress> connection;  // c= of the media, else of the session; unset: none given
  Endpoint rtcp;                        // a=rtcp (RFC 3605), else connection address and port + 1;
                                        // RTP only; port 0 = none
  std::string_view mid;                 // a=mid (RFC 5888)
  std::bitset<128> payload_types;       // of m=; empty unless rtp
  std::bitset<128> dtmf_types;          // those of RFC 4733's telephone-event
  std::string_view codec;               // of the first payload type: "PCMU/8000"
  std::uint32_t clock_hz = 8000;        // of the first payload type (RFC 3551 table, rtpmap)
  std::string_view ice_ufrag;  // names the ICE session (RFC 8839 section 5.4); empty: no ICE
  std::vector<IpAddress> remote_candidates;  // ICE has concluded with these (section 5.2)
  std::vector<IpAddress> candidates;  // of UDP ICE candidates, no repeats, kMaxCandidates; those
                                      // that NATs and relays gave before a host's own
};

struct Line {
  std::string_view text;    // without its line ending
  std::string_view ending;  // "\r\n", "\n", or "" for an unfinished last line
};

struct Session {
  std::vector<Line> lines;
  std::vector<Media> sections;
  std::vector<std::size_t> media_starts;  // index in lines of each m=
  bool own_connection = false;            // there is a session-level c=
  bool bundle = false;                    // there is an a=group:BUNDLE (RFC 9143)
};

// Fails with "line N: ..." that says what is wrong and what would be right. Views into `body`.
[[nodiscard]] Result<Session> parse(std::string_view body);

struct MediaRewrite {
  IpAddress address;                  // to print in c= (and a=rtcp); ignored if port is 0
  UdpPort port;                       // to print in m=; 0 = this media is rejected
  UdpPort rtcp;                       // where RTCP is received; equal to port when multiplexed
  bool untouched = false;             // pass the whole media description through (not relayable)
  std::string_view protocol = {};     // to print in m=; empty: as it is
  std::optional<bool> rtcp_mux = {};  // a=rtcp-mux is there or not; unset: as it is
};

// What becomes of ICE in relayed media that have it (a=ice-ufrag).
enum class Ice : std::uint8_t {
  keep,        // as it is: right only where the reader will not find a mismatch of c= (RFC 8839
               // section 4.2.5)
  add,         // the relay is one more candidate, of type relay
  relay_only,  // the relay is the only candidate
  remove,      // a=candidate, a=ice-*, a=remote-candidates, ... go
};

enum class RtcpAttribute : std::uint8_t {
  needed,  // where the reader could not know it, or the sender wrote one
  never,
  full,  // always, with its address
};

struct Rewrite {
  std::vector<MediaRewrite> sections;  // as many as Session::sections
  std::optional<IpAddress> origin;     // print in o=
  bool replace_session_name = false;   // s=-
  Ice ice = Ice::keep;
  bool prefer_relay = false;  // its candidate before all others; else after them
  RtcpAttribute rtcp = RtcpAttribute::needed;
  bool replace_zero_address = false;  // a hold by address becomes one by direction
};

// What is printed:
// - A relayed media has `port` in m= and `address` in its c=. One without a c= of its own relies on
//   the session's, and gets its own (after m= and i=) only if the session's says something else.
// - The session's c= names the address of the first relayed media that relies on it, else of the
//   first relayed one. An untouched media that relied on it keeps the old one as its own c=. With
//   nothing relayed it stays as it is.
// - A hold by address stays a hold: c= keeps 0.0.0.0, or "::" if `address` is IPv6. On request it
//   says `address`, and a=sendonly or a=inactive takes its place.
// - A media whose port was 0 stays rejected, unless bundle-only. A rejected media has port 0, its
//   a=rtcp goes, and a c= of its own says 0.0.0.0 or "::".
// - a=rtcp gets the `rtcp` port, and `address` where it named one. Further ones go. It is added (at
// the end of the
//   media) when RTCP is not at port + 1, unless a=rtcp-mux says that it is at `port`. On request
//   it goes, or is always there and names the address.
// - a=rtcp-mux is added at the end of a relayed media, or goes, with a=rtcp-mux-only (RFC 8858).
// - The relay's candidates are `address` and `port`, and `rtcp` for component 2 if the media has
//   candidates for it, or none at all and no a=rtcp-mux. They stand before the first a=candidate.
// - An untouched media keeps its ICE attributes; `ice` is for the others and the session.
// Rewriting the result once more with the same values changes nothing.
// Precondition: rewrite.sections.size() == session.sections.size().
[[nodiscard]] std::string rewrite(const Session& session, const Rewrite& rewrite);

}  // namespace millrace::sdp

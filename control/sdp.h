// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SDP (RFC 8866) as a media relay needs it: read what decides where media goes, rewrite only that.
//
// parse() splits a body into lines once and keeps views into it; rewrite() walks these lines once
// more and copies every line unchanged, in order, but the few that name a transport address: c=,
// the port of m=, a=rtcp, and on request the address in o=, s= and the ICE attributes. A line that
// it does not understand passes through byte for byte, and so does its line ending.
// A media description over a transport that a UDP relay cannot carry (TCP, MSRP) passes untouched.

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/net.h"

namespace millrace::sdp {

enum class Direction : std::uint8_t { sendrecv, sendonly, recvonly, inactive };

struct Media {
  std::string_view type;                // "audio", "video", "image", "application", ...
  std::string_view protocol;            // "RTP/AVP", "udptl", ...
  UdpPort port;                         // 0 = rejected or removed, unless bundle_only
  bool relayable = false;               // a UDP transport with a usable connection address
  bool rtp = false;                     // RTP over UDP; else opaque datagrams
  std::optional<IpAddress> connection;  // c= of the media, else of the session; unset: none given
  bool held_by_address = false;         // c= is 0.0.0.0 or "::" (RFC 3264 section 8.4)
  Endpoint rtcp;                        // a=rtcp (RFC 3605), else connection address and port + 1
  bool rtcp_mux = false;
  bool bundle_only = false;
  Direction direction = Direction::sendrecv;  // media level over session level
  std::bitset<128> payload_types;             // of m=; empty unless rtp
  std::string_view codec;                     // of the first payload type: "PCMU/8000"
  std::uint32_t clock_hz = 8000;              // of the first payload type (RFC 3551 table, rtpmap)
  std::vector<IpAddress> candidates;          // addresses of UDP ICE candidates, without repeats
};

struct Line {
  std::string_view text;    // without its line ending
  std::string_view ending;  // "\r\n", "\n", or "" for an unfinished last line
};

struct Session {
  std::vector<Line> lines;
  std::vector<Media> medias;
  std::vector<std::size_t> media_starts;  // index in lines of each m=
};

// Fails with "line N: ..." that says what is wrong and what would be right. Views into `body`.
[[nodiscard]] Result<Session> parse(std::string_view body);

struct MediaRewrite {
  IpAddress address;       // to print in c= (and a=rtcp); ignored if port is 0
  UdpPort port;            // to print in m=; 0 = this media is rejected
  UdpPort rtcp;            // where RTCP is received; equal to port when multiplexed
  bool untouched = false;  // pass the whole media description through (not relayable)
};

struct Rewrite {
  std::vector<MediaRewrite> medias;   // as many as Session::medias
  std::optional<IpAddress> origin;    // print in o=
  bool replace_session_name = false;  // s=-
  bool remove_ice = false;            // drop candidate, ice-*, remote-candidates, ...
};

// Precondition: rewrite.medias.size() == session.medias.size().
[[nodiscard]] std::string rewrite(const Session& session, const Rewrite& rewrite);

}  // namespace millrace::sdp

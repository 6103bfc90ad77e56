// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A path: two local ports joined, and how each of the two sides may use its port.
//
// Every media address owns 65,536 slots, one for each UDP port. Signalling describes a path by
// value and publishes it (dataplane.h); the flow table keeps the slots.
// A value of both worlds: std and dataplane/base/ only, no rte_*.

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace {

// A media address: its index in the order of configuration, all interfaces' addresses in a row.
enum class MediaAddressId : std::uint16_t {};

// One slot: a UDP port of a media address.
struct LocalPort {
  MediaAddressId address{};
  UdpPort port;
  friend constexpr bool operator==(const LocalPort&, const LocalPort&) = default;
};

// What a path carries, hence which packets are valid on it (RFC 7983 first-byte ranges apply to
// rtp and rtcp; STUN, DTLS and the rest pass as opaque datagrams under the same admission).
enum class Payload : std::uint8_t {
  rtp,     // RTP, and RTCP too where multiplexed
  rtcp,    // RTCP alone
  opaque,  // any datagram: udptl, DTLS/SCTP
};

enum class Latching : std::uint8_t {
  restricted,  // the source address must be a hint (default)
  open,        // any source, after a probation of 2 packets of one SSRC (RFC 3550 A.1)
  off,         // only the SDP endpoint itself is heard, nothing is learned
};

// What publishing does to a latch that the side already has.
enum class OnPublish : std::uint8_t {
  keep,    // signalling did not change this side: latch and statistics stay untouched
  reopen,  // it moved: the latched source is heard until another hinted source arrives, which
           // takes over at once (RFC 3264 section 8.3.1)
};

// What becomes of the media that a side sends; its RTCP, STUN and DTLS pass in any case.
enum class Blocking : std::uint8_t {
  none,
  silence,  // replace the payload of G.711 by silence, drop all other media
  drop,
};

inline constexpr std::size_t kMaxHints = 8;

// One side of a path: the party that was given `local` in its SDP.
struct Side {
  LocalPort local;
  std::optional<Endpoint> remote;  // where its SDP says it listens, if that can be sent to
  std::vector<IpAddress> hints;    // addresses it may be heard from; the first kMaxHints count
  std::bitset<128> payload_types;  // RTP payload types it may latch with; none set = any
  std::uint32_t clock_hz = 8000;   // of its main codec, for jitter (RFC 3550 A.8)
  Latching latching = Latching::restricted;
  OnPublish on_publish = OnPublish::keep;
  bool deliver = true;     // false: send it nothing (held by 0.0.0.0)
  bool nat_punch = false;  // send it packets of the relay's own until it is heard (RTP and RTCP)
  bool handover = false;   // another hinted source may take over from a silent one, with
                           // any SSRC
  Blocking blocking = Blocking::none;  // of what it sends
  std::bitset<128> dropped_types;      // RTP payload types of it that are dropped (DTMF)
  bool rtcp_mux = false;  // its RTCP arrives, and is sent to it, at the port of RTP (RFC 5761)
};

// Two local ports joined. A side not known yet (offer without answer) has neither hints nor
// remote: nothing is heard from it.
// RTCP has a path of its own, over the odd ports above those of RTP. It is needed unless both sides
// multiplex: then RTCP goes along with RTP. Where one side does, its RTCP is split off to that path
// and what arrives by that path is joined in; both paths are to say so.
struct Path {
  Side a;
  Side b;
  Payload payload = Payload::rtp;
  bool encrypted = false;            // SRTP (RTP/SAVP): padding and RTCP bodies cannot be checked
  std::optional<std::uint8_t> dscp;  // 0 to 63; unset = as it came
};

}  // namespace millrace

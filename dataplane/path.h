// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A path: two joined local ports, with the latching and forwarding rules of each side.
//
// Every media address owns 65,536 slots, one per UDP port. Signalling describes a path by value and
// publishes it (dataplane.h). The flow table keeps the slots.
// Used by control/ and dataplane/: std and dataplane/base/ only, no rte_*.

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace {

// Index of a media address, counted over all interfaces in the order of the configuration.
enum class MediaAddressId : std::uint16_t {};

// One slot: a UDP port of a media address.
struct LocalPort {
  MediaAddressId address{};
  UdpPort port;
  friend constexpr bool operator==(const LocalPort&, const LocalPort&) = default;
};

// Payload of a path, hence its valid packets. RFC 7983 first-byte ranges apply to rtp and rtcp.
// STUN, DTLS and others pass as opaque datagrams under the same source check.
enum class Payload : std::uint8_t {
  rtp,     // RTP, and RTCP if multiplexed
  rtcp,    // RTCP only
  opaque,  // any datagram: udptl, DTLS/SCTP
};

enum class Latching : std::uint8_t {
  restricted,  // the source address must be a hint (default)
  open,        // any source, after a probation of 2 packets of one SSRC (RFC 3550 A.1)
  off,         // the source must be the SDP endpoint; no latching
};

// Effect of publishing on an existing latch.
enum class OnPublish : std::uint8_t {
  keep,    // signalling did not change this side: keep latch and statistics
  renew,   // the side signalled without moving: if its source is silent, another hinted source may
           // replace it, until the old one sends again
  reopen,  // the side moved: the latch is provisional, the next hinted source replaces it at once
           // (RFC 3264 section 8.3.1)
};

// Blocking of a side's media. Its RTCP, STUN and DTLS always pass.
enum class Blocking : std::uint8_t {
  none,
  silence,  // replace the payload of G.711 by silence, drop all other media
  drop,
};

inline constexpr std::size_t kMaxHints = 8;

// Where a side's pending offer wants its media. Until the answer the side may send from there as
// well, and its media follows it there as soon as it does (RFC 3264 section 8.3.1).
struct ProposedPlace {
  std::optional<Endpoint> remote;  // if it can be sent to and is not the remote in force
  std::vector<IpAddress> hints;
};

// One side of a path: the party that got `local` in its SDP.
struct Side {
  LocalPort local;
  std::optional<Endpoint> remote;  // RTP or RTCP address of its SDP, if it can be sent to
  std::vector<IpAddress> hints;    // addresses it may latch from; only the first kMaxHints are used
  std::bitset<128> payload_types;  // RTP payload types it may latch with; none set = any
  std::uint32_t clock_hz = 8000;   // of its main codec, for jitter (RFC 3550 A.8)
  Latching latching = Latching::restricted;
  OnPublish on_publish = OnPublish::keep;
  bool asymmetric = false;     // always send to `remote`, from wherever its packets come
  bool strict_source = false;  // only signalling moves its latch: no NAT rebinding
  bool deliver = true;         // false: send it nothing (SIP hold by 0.0.0.0)
  bool nat_punch = false;      // send it NAT punch packets until it latches (RTP and RTCP)
  bool handover = false;       // a hinted source with any SSRC may replace a silent latched one
  Blocking blocking = Blocking::none;  // of the media it sends
  std::bitset<128> event_types;        // RTP payload types of events (RFC 4733): not in the jitter
  bool drop_events = false;            // of the media it sends (DTMF)
  bool only_negotiated = false;        // drop RTP of other payload types, also of the latched
                                       // source: its m= line had media of another type before
  bool rtcp_mux = false;               // RTCP of both directions uses its RTP port (RFC 5761)
  // Set while an offer is pending. Published without it and without reopen, the proposal is off,
  // and a side that sends from the proposed place latches at its former source again.
  std::optional<ProposedPlace> proposed;
};

// Two joined local ports. An unknown side (offer without answer) has neither hints nor remote: all
// of its packets are dropped.
// RTCP has a path of its own, over the odd ports above the RTP ports, unless both sides multiplex.
// If one side multiplexes, its RTCP is split off to the RTCP path, and RTCP for it is joined into
// its RTP port. Set rtcp_mux of that side in both paths.
struct Path {
  Side a;
  Side b;
  Payload payload = Payload::rtp;
  bool encrypted = false;            // SRTP (RTP/SAVP): padding and RTCP bodies are not checked
  std::optional<std::uint8_t> dscp;  // 0 to 63; unset = unchanged
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One m= section, validated: where to send and which sources to accept.
//
// An address is routable if the relay may send media to it and it is not a private one behind a
// NAT. A private address is routable if it is on-link, if it is the source of the signalling, or if
// that source is unknown. Routable addresses become hints, and a routable media endpoint becomes
// the remote. The source of the signalling is always a hint (RFC 7362 section 4), the first one. A
// media section keeps kMaxHints of them, as many as the data plane checks: the signalling source,
// the endpoints of the SDP, then the newest candidates. An unreachable address in c= rejects the
// whole SDP. In a=rtcp it is ignored. A loopback or link-local address is like a private one behind
// a NAT, if the signalling source is a hint.
//
// A private source that is not on-link is vague: a proxy that makes a request of its own may give
// the host of a Contact instead. Then the private addresses of the SDP are hints too. A vague or
// unknown source does not replace an earlier one that is neither, while the SDP names the same
// address.
//
// Hairpin: an SDP that names an address of the relay and a port that a call has joins the two calls
// inside the relay. The data plane then accepts packets from that port only, whatever the hints. A
// port that no call has rejects the SDP if it is in m=, and is ignored if it is in a=rtcp.
//
// ICE agents of a BUNDLE group use the ports of its first section, and go on with them when that
// section is removed, until an ICE restart: it becomes the carrier of the group.
//
// ICE has two exceptions. A party names the relay's own address after it has received packets from
// there (peer-reflexive, RFC 8445 section 7.2.5.3.1): the previous endpoint stays. An SDP with
// a=remote-candidates, or the answer to one, reports the result of ICE (RFC 8839 section
// 4.4.1.2.2): its reader must receive the exact addresses that the agents selected, so the section
// is copied verbatim and the flows stay.

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>

#include "control/command/request.h"
#include "control/ports/realm.h"
#include "control/sdp/sdp.h"
#include "control/sdp/sdp_fragment.h"
#include "dataplane/base/small_vector.h"
#include "dataplane/base/text.h"

namespace millrace {

struct PartyMedia {
  enum class State : std::uint8_t {
    absent,     // not described yet
    refused,    // port 0
    bundled,    // bundle-only: shares another section's port (RFC 9143)
    carrier,    // port 0, but its ports carry the rest of its BUNDLE group until an ICE restart
    untouched,  // unsupported transport, copied verbatim
    live,
  };
  // RTP (or opaque datagrams) and RTCP.
  struct Component {
    IpAddress address;  // from its SDP, with `port`; kept during a hold
    UdpPort port;
    bool known = false;     // `address` and `port` are set
    bool routable = false;  // the relay may send media to it
    bool moved = false;     // since the previous SDP
    bool inside = false;    // it is a port of the relay

    [[nodiscard]] std::optional<Endpoint> advertised() const {
      return known ? std::optional(Endpoint{address, port}) : std::nullopt;
    }
    [[nodiscard]] std::optional<Endpoint> remote() const {
      return routable ? advertised() : std::nullopt;
    }
    friend bool operator==(const Component&, const Component&) = default;
  };

  using Hints = SmallVector<IpAddress, 2>;  // kMaxHints at most

  State state = State::absent;
  bool signalled = true;  // by an SDP whose flows are not published yet
  Text type, protocol, codec, mid;
  std::uint32_t clock_hz = 8000;
  std::bitset<128> payload_types, dtmf_types;  // with BUNDLE (RFC 9143), of all sections
  bool rtp = false;
  bool rtcp_mux = false;
  bool sends = true, receives = true;
  bool on_hold = false;  // by address 0.0.0.0: send nothing
  std::array<Component, 2> components;
  Hints hints;
  IpAddress signalled_from;    // "::" = unknown
  Text ice_ufrag;              // empty: no ICE, or ICE that cannot bypass the relay
  bool ice_concluded = false;  // this SDP reports the result of ICE: copied verbatim
  bool ice_direct = false;     // the selected path bypasses the relay
  bool in_bundle = false;      // the SDP has a BUNDLE group

  // Whether flows of its ports are in order.
  [[nodiscard]] bool relayed() const { return state == State::live || state == State::carrier; }

  // RTP/SAVP, RTP/SAVPF and these over DTLS (RFC 3711, RFC 5764); RTP of unknown protocol may be.
  [[nodiscard]] bool encrypted() const {
    return (rtp && protocol.empty()) || std::string_view(protocol).contains("SAVP");
  }
  friend bool operator==(const PartyMedia&, const PartyMedia&) = default;
};

// Of an SDP, by m= line.
using Descriptions = SmallVector<PartyMedia, 1>;

// Media section `index` of `session`, sent by a party in `realm`. `before` is the party's previous
// section. `offered` is the offered section if `session` is an answer.
[[nodiscard]] Result<PartyMedia> describe(const sdp::Session& session, std::size_t index,
                                          const Request& request, const Realm& realm,
                                          const Realms& realms, const PartyMedia& before,
                                          const PartyMedia* offered = nullptr);

// Makes hints of trickled candidates of a party in `realm`, replacing the oldest if all slots are
// used, and returns how many were new. Ignores candidates of another ICE session than its SDP's
// (RFC 8838 section 14).
std::size_t add_candidates(PartyMedia& media, const sdp::FragmentMedia& fragment,
                           const Realm& realm, const Realms& realms);

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What one party says of one media in its SDP, judged: where it may be sent to and heard from.
//
// An address is routable if a relay may send media there and it is not a private one behind a NAT:
// a private address counts where it is on-link, where the signalling came from it, or where nothing
// else is known of the party. What is routable becomes a hint, and the media endpoint the remote;
// the address that the signalling came from is always a hint (RFC 7362 section 4), and comes first.
// A media section keeps kMaxHints of them, as many as the data plane looks at: the signalling
// source, the endpoints of the SDP, then the newest candidates. An address that nobody can be
// reached at, or that is the relay's own, refuses the whole SDP.
//
// ICE makes two exceptions. A party names the relay's own address once it has seen its packets come
// from there (peer-reflexive, RFC 8445 section 7.2.5.3.1): it stays where it was. And an SDP with
// a=remote-candidates, or the answer to one, tells how ICE has ended (RFC 8839 section 4.4.1.2.2):
// its reader must find the very addresses that the agents agreed on, so it passes as it is, and the
// flows stay as they are.

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/command/request.h"
#include "control/ports/realm.h"
#include "control/sdp/sdp.h"
#include "control/sdp/sdp_fragment.h"
#include "dataplane/base/text.h"

namespace millrace {

struct PartyMedia {
  enum class State : std::uint8_t {
    absent,     // not described yet
    refused,    // port 0
    bundled,    // bundle-only: its packets share another media's port (RFC 9143)
    untouched,  // a transport that this relay does not carry
    live,
  };
  // RTP (or opaque datagrams) and RTCP.
  struct Component {
    std::optional<Endpoint> advertised;  // as its SDP says; kept through a hold
    bool routable = false;               // media may be sent there
    bool moved = false;                  // since the SDP before

    [[nodiscard]] std::optional<Endpoint> remote() const {
      return routable ? advertised : std::nullopt;
    }
  };

  State state = State::absent;
  Text type, protocol, codec, mid;
  std::uint32_t clock_hz = 8000;
  std::bitset<128> payload_types, dtmf_types;  // with BUNDLE (RFC 9143), the types of all sections
  bool rtp = false;
  bool rtcp_mux = false;
  bool sends = true, receives = true;
  bool held = false;  // by address: is sent nothing
  std::array<Component, 2> components;
  std::vector<IpAddress> hints;  // kMaxHints at most
  std::optional<IpAddress> signalled_from;
  Text ice_ufrag;              // empty: no ICE, or none that could find a way around the relay
  bool ice_concluded = false;  // this SDP tells how ICE has ended: it is printed as it is
  bool ice_direct = false;     // and it has found a way around the relay

  // RTP/SAVP, RTP/SAVPF and these over DTLS (RFC 3711, RFC 5764); it may be if that was not told.
  [[nodiscard]] bool encrypted() const {
    return (rtp && protocol.empty()) || std::string_view(protocol).contains("SAVP");
  }
};

// Media number `index` of `session`, sent by a party in `realm` which said `before` last time;
// `offered` is what it answers to, if it is an answer.
[[nodiscard]] Result<PartyMedia> describe(const sdp::Session& session, std::size_t index,
                                          const Request& request, const Realm& realm,
                                          const Realms& realms, const PartyMedia& before,
                                          const PartyMedia* offered = nullptr);

// Makes hints of the candidates that a party in `realm` names later, in place of the oldest ones
// where there is no room, and returns how many were new. Those of another ICE session than its
// SDP's are none (RFC 8838 section 14).
std::size_t add_candidates(PartyMedia& media, const sdp::FragmentMedia& news, const Realm& realm,
                           const Realms& realms);

}  // namespace millrace

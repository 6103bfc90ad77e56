// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A leg: one party of a call, with its tags, its media sections and the local ports taken for it.
//
// The ports are printed into the SDP that the party receives. Legs of branches that the proxy made
// one offer for have the same ports. A leg's media is joined to one other leg at a time, its peer.
// A leg is a plain value of its call's state (call_state.h) and names other legs by LegId.
//
// An offer is a proposal (docs/adr/0006-an-offer-is-a-proposal.md). `agreed` is in force: what the
// party's SDP said in the last exchange that was answered, or its first offer while nothing was. A
// later offer waits in `proposed` for its answer. A refused offer is never reported: it waits until
// the next offer replaces it or an answer settles the media. At most one waits.

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "control/command/edits.h"
#include "control/command/moment.h"
#include "control/command/report.h"
#include "control/command/request.h"
#include "control/leg/party_media.h"
#include "control/leg/past_flow.h"
#include "control/ports/realm.h"
#include "control/sdp/sdp.h"
#include "dataplane/base/small_vector.h"
#include "dataplane/base/text.h"
#include "dataplane/path.h"
#include "dataplane/report.h"

namespace millrace {

// Blocked kinds of the media that a party sends.
struct BlockState {
  bool blocked = false, silenced = false, dtmf_blocked = false;
  friend bool operator==(const BlockState&, const BlockState&) = default;
};

struct LegMedia {
  PartyMedia agreed;
  PortPair ports;            // the same for the branches of one offer
  bool retyped = false;      // the last answer made it RTP of another type
  bool established = false;  // an answer has left it live
  Boxed<PastMedia> past;     // see past_flow.h
  // Latched sources of RTP and RTCP, as last notified; null: none was.
  Boxed<std::array<std::optional<Endpoint>, 2>> notified;
  Moment created;

  void open(PortPair on) {
    ports = on;
    if (past) past->closed.reset();
  }
  friend bool operator==(const LegMedia&, const LegMedia&) = default;
};

// Index of a leg in its call's state.
enum class LegId : std::uint8_t {};
inline constexpr LegId kNoLeg{255};

// Flags of the proxy with an offer or answer, in force together with its SDP.
struct LegOptions {
  bool asymmetric = false, strict_source = false;
  bool media_handover = false, nat_wait = false, nat_punch = false;
  friend bool operator==(const LegOptions&, const LegOptions&) = default;
};

using Lines = std::bitset<sdp::kMaxSections>;  // by m= line

inline const PartyMedia kAbsent{};  // of an m= line that no SDP has described

// A party's offer that awaits its answer.
struct Proposal {
  LegId to = kNoLeg;      // the party that is to answer
  Descriptions sections;  // absent: not part of the offer
  LegOptions options;
  friend bool operator==(const Proposal&, const Proposal&) = default;
};

struct Leg {
  // Limit of the tags that one party may answer with.
  static constexpr std::size_t kMaxTags = 128;
  // Last SIP request of the party that carried an offer, in the request or in its reply (update).
  struct Transaction {
    std::uint32_t cseq = 0;
    bool offered_by_reply = false;
    friend bool operator==(const Transaction&, const Transaction&) = default;
  };

  LegId id = kNoLeg;  // its own
  LegId peer = kNoLeg;
  RealmId realm{};
  LegOptions options;
  BlockState block_state;
  SmallVector<Text, 1> tags;  // several if branches of a fork share a leg
  Text via_branch, label;
  Text user_agent;
  Moment created;
  std::optional<IpAddress> preferred;  // of the realm's addresses
  std::optional<Transaction> transaction;
  SmallVector<LegMedia, 1> sections;
  Boxed<Proposal> proposed;   // null: no offer waits
  Boxed<sdp::Origin> origin;  // of the SDP sent to it, if that must not change

  friend bool operator==(const Leg&, const Leg&) = default;
  [[nodiscard]] bool has_peer() const { return peer != kNoLeg; }

  [[nodiscard]] bool has(std::string_view tag) const;
  [[nodiscard]] bool has_room_for(std::string_view tag) const;
  void add(std::string_view tag);
  void stamp(const Moment& now);  // sets missing creation times
  [[nodiscard]] std::ptrdiff_t port_pairs() const;
  [[nodiscard]] const PartyMedia& agreed(std::size_t index) const {
    return index < sections.size() ? sections[index].agreed : kAbsent;
  }
  // Number of m= lines in force.
  [[nodiscard]] std::size_t lines() const;
  // What the party proposes to `reader`; null: nothing that is live.
  [[nodiscard]] const PartyMedia* proposed_to(const Leg& reader, std::size_t index) const {
    if (!proposed || proposed->to != reader.id || index >= proposed->sections.size())
      return nullptr;
    const PartyMedia& media = proposed->sections[index];
    return media.state == PartyMedia::State::live ? &media : nullptr;
  }
  // What an answer of `reader` answers: the proposal to it, else what is in force.
  [[nodiscard]] const PartyMedia& offered_to(const Leg& reader, std::size_t index) const {
    return proposed && proposed->to == reader.id ? latest(index) : agreed(index);
  }
  [[nodiscard]] std::size_t lines_offered_to(const Leg& reader) const;
  // What the party's last SDP said.
  [[nodiscard]] const PartyMedia& latest(std::size_t index) const {
    const bool proposes = proposed && index < proposed->sections.size() &&
                          proposed->sections[index].state != PartyMedia::State::absent;
    return proposes ? proposed->sections[index] : agreed(index);
  }
  [[nodiscard]] bool is_retyped(std::size_t index) const;
  // What the flows between the party and `other` follow: what is in force, else a proposal.
  [[nodiscard]] const PartyMedia& current(const Leg& other, std::size_t index) const;
  [[nodiscard]] PortPair ports(std::size_t index) const {
    return index < sections.size() ? sections[index].ports : PortPair{};
  }
  // The local address of its ports.
  [[nodiscard]] std::optional<IpAddress> address(const Realms& realms) const;

  // Puts an answer, or a first offer, in force.
  void agree(Descriptions described, const Request& request);
  void propose(const Leg& to, Descriptions described, const Request& request);
  // Puts these m= lines of the proposal to `answerer` in force.
  void settle(const Leg& answerer, const Lines& answered);
  void trim();  // removes trailing sections that have neither a description nor ports
  // Drops the proposal to `reader`. False: there is none.
  bool withdraw_proposal(const Leg& reader);
  // Null: the request does not ask to keep the origin.
  [[nodiscard]] sdp::Origin* origin_for(const Request& request);

  [[nodiscard]] bool shares_ports(const Leg& other) const;
  // Whether one of its RTP ports is `endpoint`.
  [[nodiscard]] bool has_port(const Endpoint& endpoint, const Realms& realms) const;
  // Whether its last SDP named a port of `other`: the two are joined inside the relay.
  [[nodiscard]] bool names_port_of(const Leg& other, const Realms& realms) const;
  // Counters of the party on one port, past flows included. `flow` holds those of the current flow.
  [[nodiscard]] FlowReport total_flow(std::size_t index, const FlowReport& flow,
                                      std::size_t component, PastFlow::Clock::time_point now) const;
  // RTCP quality of the party, past flows included. `now_seen` is that of the current flows.
  [[nodiscard]] std::optional<QualityReport> quality(std::size_t index,
                                                     const std::optional<QualityReport>& now_seen,
                                                     PastFlow::Clock::time_point now) const;
};

}  // namespace millrace

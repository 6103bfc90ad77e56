// SPDX-License-Identifier: BSD-3-Clause
// Slow path of the relay: latching, early STUN, protocols other than RTP, blocked or silenced
// media, RTCP demultiplexing, next-hop resolution, hairpin.

#include <optional>

#include <rte_mbuf.h>

#include "dataplane/flow/stream.h"
#include "dataplane/relay/arrival.h"
#include "dataplane/relay/blocking.h"
#include "dataplane/relay/content.h"
#include "dataplane/relay/relay.h"

namespace millrace {

using namespace flow_flag;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

// A keepalive of RFC 6263 that is no media: an empty datagram, RTP of an unknown payload type, RTP
// of version 0. `reason` is why it did not latch.
bool is_keepalive(std::span<const std::byte> datagram, DropReason reason) {
  if (datagram.empty() || reason == DropReason::payload_type) return true;
  return reason == DropReason::stun_malformed && datagram.size() >= sizeof(RtpHeader) &&
         datagram[0] == std::byte{0};
}

// A packet from a port of the relay that the slot's side did not name in its SDP.
DropReason refuse_inside(const RuleWords& words) {
  return words.has(kActive) ? DropReason::wrong_source : DropReason::port_inactive;
}

bool is_last_hop(const std::byte* ip) {
  return ip[family_of(ip) == Family::ipv4 ? 8 : 7] <= std::byte{1};
}

// Calls `act` for the families that a packet is received and sent by.
template <typename Act>
[[gnu::always_inline]] inline void with_families(bool from_v4, bool across, Act&& act) {
  constexpr Family kV4 = Family::ipv4, kV6 = Family::ipv6;
  if (!across) {
    from_v4 ? act.template operator()<kV4, kV4>() : act.template operator()<kV6, kV6>();
  } else {
    from_v4 ? act.template operator()<kV4, kV6>() : act.template operator()<kV6, kV4>();
  }
}

}  // namespace

// Packet from an unlatched source: latch it, or return the drop reason. The source is checked
// before parsing, so that garbage from strangers is not counted as malformed media.
std::optional<DropReason> Relay::stranger(const Arrival& arrival, const Datagram& datagram,
                                          std::uint32_t flags, Tsc now) {
  if (const auto reason = flows_.may_latch(arrival.index(), datagram.source)) return reason;
  const auto content = examine(datagram.payload, flags);
  const auto reason = content
                          ? flows_.latch(arrival.index(), datagram.source, content->evidence(), now)
                          : std::optional(content.error());
  if (reason && is_keepalive(datagram.payload, *reason)) {
    flows_.open_provisionally(arrival.index(), datagram.source, now);
  }
  return reason;
}

// Updates the statistics of an admitted datagram of an opaque path, which has no codecs to tell
// what it carries, by what it looks like. False if it is not RTP.
bool Relay::note_opaque(const Arrival& arrival, const RuleWords& words, Tsc now) {
  const auto datagram = arrival.payload();
  const bool encrypted = words.has(kCipher);
  if (parse_rtcp(datagram, encrypted)) {
    if (words.has(kPeer) && !encrypted) {
      flows_.note_rtcp(arrival.index(), words.peer(), datagram, words.clock_rate(), now);
    }
    return false;
  }
  const auto rtp = parse_rtp(datagram, encrypted);
  return rtp && note_probable(arrival.slot->seen, flows_.record(arrival.index()), *rtp, now.ticks,
                              words.clock_rate());
}

// Updates the statistics of an admitted packet.
void Relay::note(const Arrival& arrival, const Content& content, const RuleWords& words, Tsc now) {
  SeenLine& seen = arrival.slot->seen;
  Record& record = flows_.record(arrival.index());
  note_datagram(seen, arrival.payload().size(), now);
  if (content.kind == Evidence::Kind::rtp) {
    if (record.is_event(content.rtp.payload_type)) {
      note_event(seen, record, content.rtp, now.ticks, words.clock_rate());
    } else if (!note_usual(seen, content.rtp, now.ticks, words.clock_rate())) {
      note_unusual(seen, record, content.rtp, now.ticks, words.clock_rate());
    }
    return;
  }
  const bool opaque = content.kind == Evidence::Kind::datagram && !words.has(kRtp | kRtcp);
  if (opaque && note_opaque(arrival, words, now)) return;
  record.not_received.fetch_add(1, kRelaxed);
  if (content.kind == Evidence::Kind::stun) record.stun.fetch_add(1, kRelaxed);
  if (content.kind != Evidence::Kind::rtcp) return;
  // A rebound source must send this SSRC (latch.cc).
  if (words.has(kRtcp)) seen.sender.store(kKnownSender | content.ssrc, kRelaxed);
  if (words.has(kPeer) && !words.has(kCipher)) {
    flows_.note_rtcp(arrival.index(), words.peer(), arrival.payload(), words.clock_rate(), now);
  }
}

// send() for any pair of families. Returns the reason if the packet cannot be sent.
std::optional<DropReason> Relay::send_any(const Arrival& arrival, const RuleWords& words,
                                          NeighborWord next) {
  const TxContext& context = tx_contexts_[words.tx_context()];
  const bool from_v4 = family_of(arrival.ip()) == Family::ipv4;
  const bool across = words.has(kBridge);
  const std::size_t growth = from_v4 && across ? kIpv6Size - kIpv4Size : 0;
  const std::size_t shrink = !from_v4 && across ? kIpv6Size - kIpv4Size : 0;
  if (arrival.length() + growth > context.longest + shrink || arrival.packet->data_off < growth) {
    return DropReason::mtu_exceeded;
  }
  if (words.has(kMark)) mark(arrival.ip(), words.dscp());
  if (growth != 0 && lacks_udp_checksum(arrival.ip())) add_udp_checksum(arrival.ip());
  with_families(from_v4, across,
                [&]<Family In, Family Out>() { send<In, Out>(arrival, words, context, next); });
  return std::nullopt;
}

// Rewrites a packet for another port of the relay. False: it has no room for an IPv6 header.
bool Relay::turn(const Arrival& arrival, const RuleWords& words) const {
  const bool from_v4 = family_of(arrival.ip()) == Family::ipv4;
  const bool across = words.has(kBridge);
  if (from_v4 && across) {
    if (arrival.packet->data_off < kIpv6Size - kIpv4Size) return false;
    if (lacks_udp_checksum(arrival.ip())) add_udp_checksum(arrival.ip());
  }
  if (words.has(kMark)) mark(arrival.ip(), words.dscp());
  with_families(from_v4, across, [&]<Family In, Family Out>() {
    rewrite<In, Out>(arrival.ip(), words, tx_contexts_[words.tx_context()].address);
    (void)fit<In, Out>(arrival.packet);
  });
  return true;
}

// Latches, classifies and treats any packet. Returns the next hop's word to send it with, or the
// drop reason.
std::expected<NeighborWord, DropReason> Relay::admit(const Arrival& arrival, bool inside, Tsc now,
                                                     RuleWords& words) {
  const Datagram datagram{source_of(arrival.ip()), arrival.payload()};
  if (!arrival.read_rule(words)) return std::unexpected(DropReason::slot_busy);
  if (words.has(kSplitOff)) return std::unexpected(DropReason::port_inactive);
  if (!arrival.is_from_source(words, inside)) {
    if (inside) return std::unexpected(refuse_inside(words));
    if (const auto reason = stranger(arrival, datagram, words.flags, now)) {
      return std::unexpected(*reason);
    }
    if (!arrival.read_rule(words)) return std::unexpected(DropReason::slot_busy);
    if (!arrival.is_from_source(words)) return std::unexpected(DropReason::latch_contended);
  }
  const auto content = examine(datagram.payload, words.flags);
  if (!content) return std::unexpected(content.error());
  if (words.has(kFiltered) && is_retired(*content, flows_.record(arrival.index()))) {
    return std::unexpected(DropReason::payload_type);
  }
  note(arrival, *content, words, now);
  if (words.has(kMediaFilters)) {
    const Record& record = flows_.record(arrival.index());
    if (const auto reason = apply_blocking(arrival.payload(), *content, words.flags, record)) {
      return std::unexpected(*reason);
    }
  }
  if (content->kind == Evidence::Kind::rtcp) {
    if (words.has(kSplit)) return split_off(arrival, inside, words, now);
    if (!words.has(kRtcp | kMux)) return divert(arrival, words, now);
  }
  return next_hop(arrival, words, now);
}

// Multiplexed RTCP towards a party without rtcp-mux: sent by the rule of the RTCP port's slot.
std::expected<NeighborWord, DropReason> Relay::split_off(const Arrival& arrival, bool inside,
                                                         RuleWords& words, Tsc now) {
  Arrival rtcp = arrival;
  rtcp.slot = &flows_.slot(arrival.index().of_rtcp());
  if (!rtcp.read_rule(words)) return std::unexpected(DropReason::slot_busy);
  if (!words.has(kSplitOff)) return std::unexpected(DropReason::no_destination);
  if (!rtcp.is_from_source(words, inside)) return std::unexpected(DropReason::latch_contended);
  return next_hop(rtcp, words, now);
}

// RTCP on an RTP port without rtcp-mux: sent to the peer's RTCP port.
std::expected<NeighborWord, DropReason> Relay::divert(const Arrival& arrival, RuleWords& words,
                                                      Tsc now) {
  Arrival rtcp = arrival;
  rtcp.slot = &flows_.slot(arrival.index().of_rtcp());
  const std::optional<Rule> rule = flows_.rtcp_rule(arrival.index(), source_of(arrival.ip()));
  if (!rule) return std::unexpected(DropReason::slot_busy);
  words = RuleWords::of(*rule);
  return next_hop(rtcp, words, now);
}

// Sends an admitted packet to another port of the relay, admits it there and so on, until it leaves
// the relay. Otherwise returns the drop reason, with the packet's last position.
std::optional<DropReason> Relay::carry(Position& position, RuleWords& words, Tsc now) {
  Arrival& arrival = position.at;
  for (unsigned pass = 1;; ++pass) {
    // Found, as it was when the rule was stored.
    const auto own = flows_.find_own(IpAddress::from_words(words.destination));
    if (!own) return DropReason::no_destination;
    if (!turn(arrival, words)) return DropReason::mtu_exceeded;
    arrival.frame = rte_pktmbuf_mtod(arrival.packet, std::byte*);
    arrival.slot = &flows_.slots(*own)[words.destination_port().number()];
    position.inside = true;
    if (pass > kMaxPasses || is_last_hop(arrival.ip())) return DropReason::hairpin_loop;
    const auto next = admit(arrival, true, now, words);
    if (!next) return next.error();
    if (!next->matches(kInsideHop)) return send_any(arrival, words, *next);
  }
}

// Keeps or drops a packet that cannot be sent.
[[gnu::always_inline]] inline void Relay::give_up(const Arrival& arrival, bool inside,
                                                  DropReason reason, Tsc now, Drops& drops) {
  if (EarlyStun::waits_for(reason) && keep(arrival, inside, reason, now)) {
    drops.add_kept();
  } else {
    flows_.record(arrival.index()).drop(reason);
    drops.add(arrival.packet, reason);
  }
}

[[gnu::noinline]] void Relay::forward_unusual(const Arrival& arrival, Tsc now, Drops& drops) {
  RuleWords words;
  const auto next = admit(arrival, false, now, words);
  if (next && next->matches(kInsideHop)) return forward_inside(arrival, words, now, drops);
  const auto reason = next ? send_any(arrival, words, *next) : next.error();
  if (reason) give_up(arrival, false, *reason, now, drops);
}

[[gnu::noinline]] void Relay::forward_inside(const Arrival& arrival, RuleWords& words, Tsc now,
                                             Drops& drops) {
  Position position{arrival};
  const auto reason = carry(position, words, now);
  if (reason) give_up(position.at, position.inside, *reason, now, drops);
}

// Precondition: the packet was admitted.
bool Relay::keep(const Arrival& arrival, bool inside, DropReason reason, Tsc now) {
  if (!is_stun(arrival.payload())) return false;
  return early_.keep({arrival.packet, arrival.index(), now, reason, inside});
}

// Sends a kept packet, or returns why it cannot be sent (yet). Signalling may have reused the port
// for another call meanwhile, so the source is checked again. `kept` follows the packet inside.
std::optional<DropReason> Relay::send_late(EarlyStun::Kept& kept, Tsc now) {
  Position position{
      {kept.packet, &flows_.slot(kept.slot), rte_pktmbuf_mtod(kept.packet, std::byte*)},
      kept.inside};
  const Arrival& arrival = position.at;
  RuleWords words;
  if (!arrival.read_rule(words)) return kept.reason;
  if (words.has(kSplitOff)) return DropReason::port_inactive;
  if (!arrival.is_from_source(words, kept.inside)) return DropReason::wrong_source;
  const auto next = next_hop(arrival, words, now);
  if (!next) return next.error();
  if (!next->matches(kInsideHop)) return send_any(arrival, words, *next);
  const auto reason = carry(position, words, now);
  kept.slot = arrival.index();
  kept.inside = position.inside;
  return reason;
}

void Relay::send_kept(Tsc now) {
  static_assert(EarlyStun::kCapacity <= TxBatch::kCapacity);
  const std::uint64_t before = bytes_in(tx_);
  early_.revisit(now, [&](EarlyStun::Kept& kept) {
    const auto reason = send_late(kept, now);
    if (!reason) {
      stats_.relayed.add(1);
      return false;
    }
    // The packet was admitted, so it is not counted as a stranger's.
    if (*reason != DropReason::wrong_source) kept.reason = *reason;
    if (EarlyStun::waits_for(*reason) && !early_.expired(kept, now)) return true;
    flows_.record(kept.slot).drop(kept.reason);
    stats_.drop(kept.reason);
    rte_pktmbuf_free(kept.packet);
    return false;
  });
  stats_.relayed_bytes.add(bytes_in(tx_) - before);
}

Relay::~Relay() {
  for (const EarlyStun::Kept& kept : early_.all()) rte_pktmbuf_free(kept.packet);
}

std::expected<NeighborWord, DropReason> Relay::next_hop(const Arrival& arrival,
                                                        const RuleWords& words, Tsc now) {
  if (words.has(kHeld)) return std::unexpected(DropReason::held);
  if (!words.has(kDestination)) return std::unexpected(DropReason::no_destination);
  const TxContext& context = tx_contexts_[words.tx_context()];
  const NeighborWord word = context.neighbors->word(words.hop());
  if (words.hop_matches(word)) return word;
  if (words.hop_matches(kInsideWord)) return kInsideWord;
  return flows_.refresh_next_hop(arrival.index(), now);
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
// Latching (RFC 4961, RFC 7362): the slow path of the flow table, run by workers for packets whose
// source is not the latched one. See docs/adr/0003-restricted-latching.md.
//
// The source is first checked on a consistent copy, so that refusing a flood takes no lock. It is
// checked again under the locks of all slots concerned before anything changes.

#include <utility>

#include "dataplane/flow/flow_table.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;

void store_candidate(Record& record, PartyAddresses addresses, const Endpoint& source) {
  addresses.store(PartyAddresses::kCandidate, source.address);
  record.candidate_port.store(source.port.number(), kRelaxed);
}

// A NAT rebinding continues the sequence numbers: ahead by at most RFC 3550's MAX_DROPOUT.
constexpr std::uint16_t kRebindSequence = 3000;
constexpr std::uint64_t kRebindSilenceRtp = 10;  // 1/10 s
constexpr std::uint64_t kRebindSilenceRtcp = 1;  // 1 s
// RTCP is silent between reports: it times out after five intervals (RFC 3550 section 6.3.5).
constexpr std::uint64_t kRtcpIntervals = 5;

bool is_hint(const Record& record, PartyAddresses addresses, const IpAddress& address) {
  return addresses.find(address, record.ports.load(kAcquire).hints()) < kMaxHints;
}

// True if packets of this kind can latch. On RTP and RTCP paths, a plain datagram or keepalive
// cannot: anyone can make one up.
bool is_sufficient(const Rule& rule, Evidence::Kind kind) {
  switch (kind) {
    case Evidence::Kind::rtp:
      return rule.has(kRtp);
    case Evidence::Kind::rtcp:
      return rule.has(kRtcp) || rule.has(kRtp | kMux);
    // Key agreement comes before media, under RTP/AVP too (RFC 6189 section 5, RFC 8643).
    case Evidence::Kind::stun:
    case Evidence::Kind::dtls:
    case Evidence::Kind::zrtp:
      return true;
    case Evidence::Kind::keepalive:
      return false;
    case Evidence::Kind::datagram:
      return !(rule.has(kRtp) || rule.has(kRtcp));
  }
  return false;
}

// True for packets of a stream of the path's payload.
bool is_stream(const Rule& rule, Evidence::Kind kind) {
  if (rule.has(kRtp)) return kind == Evidence::Kind::rtp;
  if (rule.has(kRtcp)) return kind == Evidence::Kind::rtcp;
  return kind == Evidence::Kind::datagram;
}

std::uint64_t silence_of(const SeenLine& seen, Tsc now) {
  return elapsed(Tsc{seen.last.load(kRelaxed)}, now);
}

bool is_silent(const SeenLine& seen, const Evidence& evidence, Tsc now, std::uint64_t tsc_hz) {
  const bool rtcp = evidence.kind == Evidence::Kind::rtcp;
  return silence_of(seen, now) >= tsc_hz / (rtcp ? kRebindSilenceRtcp : kRebindSilenceRtp);
}

// True if a packet continues the latched stream: NAT rebinding of the same sender.
bool continues(const SeenLine& seen, const Evidence& evidence, Tsc now, std::uint64_t tsc_hz) {
  if (seen.sender.load(kRelaxed) != (kKnownSender | evidence.ssrc)) return false;
  if (!is_silent(seen, evidence, now, tsc_hz)) return false;
  if (evidence.kind == Evidence::Kind::rtcp) return true;
  if (evidence.kind != Evidence::Kind::rtp) return false;
  const auto highest = static_cast<std::uint16_t>(seen.highest());
  const auto ahead = static_cast<std::uint16_t>(evidence.sequence - highest);
  return ahead >= 1 && ahead <= kRebindSequence;
}

// True for the exact source that the side has left for its proposed place.
bool returns(RecordPorts ports, PartyAddresses addresses, const Rule& rule,
             const Endpoint& source) {
  if (!rule.has(kAtProposed)) return false;
  return ports.former != 0 && ports.former == source.port.number() &&
         addresses.load(ports.former_hint) == source.address;
}

// True if a latched side may be heard from its proposed place: at once from the proposed port; from
// another one, as through a NAT, only if its present source is silent.
bool is_proposed(RecordPorts ports, PartyAddresses addresses, const Rule& rule,
                 const Endpoint& source, bool silent) {
  if (!ports.proposes(addresses.find(source.address, ports.hints()))) return false;
  return ports.proposed == source.port.number() || (silent && !rule.has(kAtProposed));
}

// Rule and record after the side has latched on `source`: at its proposed place, or not.
void note_place(Record& record, PartyAddresses addresses, Rule& rule, const Endpoint& source) {
  RecordPorts ports = record.ports.load(kAcquire);
  const std::size_t hint = addresses.find(source.address, ports.hints());
  const bool moves = rule.has(kLatched) && !rule.has(kProvisional);
  const bool proposed =
      ports.proposes(hint) && !returns(ports, addresses, rule, source) &&
      (hint >= ports.agreed_hints || ports.proposed == source.port.number() || moves);
  if (proposed && moves && !rule.has(kAtProposed)) {
    keep_former(addresses, rule.source, ports);
  } else if (!proposed) {
    ports.former = 0;
  }
  rule.flags = proposed ? rule.flags | kAtProposed : rule.flags & ~kAtProposed;
  record.ports.store(ports, std::memory_order_release);
}

}  // namespace

void keep_former(PartyAddresses addresses, const std::optional<Endpoint>& former,
                 RecordPorts& ports) {
  const std::size_t hint = former ? addresses.find(former->address, ports.hints()) : kMaxHints;
  ports.former = hint < kMaxHints ? former->port.number() : 0;
  ports.former_hint = static_cast<std::uint8_t>(hint) & 7U;
}

// Stores the hints in force, then those that only the proposal has. It gets up to half of the room
// if it needs that.
RecordPorts FlowTable::apply_hints(SlotIndex index, const Side& side) {
  PartyAddresses own = addresses(index);
  RecordPorts ports;
  const ProposedPlace* const place =
      side.proposed && side.latching != Latching::off ? &*side.proposed : nullptr;
  std::size_t room = kMaxHints, count = 0;
  const auto add = [&](const IpAddress& hint) {
    if (count < room && !unreachable(index, hint)) own.store(count++, hint);
  };
  if (place != nullptr) {
    const auto is_new = [&](const IpAddress& hint) {
      return std::ranges::find(side.hints, hint) == side.hints.end();
    };
    const auto more = static_cast<std::size_t>(std::ranges::count_if(place->hints, is_new));
    room -= std::min(more, kMaxHints / 2);
  }
  for (const IpAddress& hint : side.hints) add(hint);
  ports.agreed_hints = static_cast<std::uint8_t>(count) & 15U;
  if (place != nullptr) {
    room = kMaxHints;
    for (const IpAddress& hint : place->hints) {
      std::size_t at = std::min(own.find(hint, count), count);
      if (at == count) add(hint);
      if (at < count) ports.proposed_hints |= static_cast<std::uint8_t>(1U << at);
    }
    if (place->remote) ports.proposed = place->remote->port.number();
  }
  return ports;
}

std::optional<DropReason> FlowTable::may_latch(SlotIndex index, const Endpoint& source) const {
  const std::optional<Rule> rule = read_rule(slot(index).rule);
  if (!rule) return DropReason::slot_busy;
  if (!rule->has(kActive)) return DropReason::port_inactive;
  if (source.port.number() == 0) return DropReason::source_invalid;
  if (const auto reason = unreachable(index, source.address)) return reason;
  Record& rec = record(index);
  const PartyAddresses own = addresses(index);
  if (!rule->has(kFixed) && (rule->has(kOpen) || is_hint(rec, own, source.address))) {
    return std::nullopt;
  }
  store_candidate(rec, own, source);
  return DropReason::wrong_source;
}

// Two consecutive packets of one source and SSRC (RFC 3550 A.1, MIN_SEQUENTIAL). With restricted
// latching only hints get here, so strangers cannot disturb a probation: the address of the last
// refused source is not compared. Two workers may mix up two candidates, which at worst prolongs a
// probation.
std::optional<DropReason> FlowTable::probation(SlotIndex index, const Rule& rule,
                                               const Endpoint& source,
                                               const Evidence& evidence) const {
  Record& rec = record(index);
  const PartyAddresses own = addresses(index);
  const std::uint64_t stream = std::uint64_t{evidence.ssrc} << 32 |
                               std::uint64_t{source.port.number()} << 16 | evidence.sequence;
  const std::uint64_t before = rec.candidate_stream.load(kRelaxed);
  const auto step = static_cast<std::uint16_t>(evidence.kind == Evidence::Kind::rtp ? 1 : 0);
  const bool same_address =
      !rule.has(kOpen) || (rec.candidate_port.load(kRelaxed) == source.port.number() &&
                           own.load(PartyAddresses::kCandidate) == source.address);
  const bool same_stream = before >> 16 == stream >> 16 &&
                           static_cast<std::uint16_t>(before + step) == evidence.sequence;
  if (same_address && same_stream) return std::nullopt;
  store_candidate(rec, own, source);
  rec.candidate_stream.store(stream, kRelaxed);
  return DropReason::latch_probation;
}

// An offer or answer of a party whose source is silent: it may have moved. RTCP follows its RTP.
void FlowTable::renew(SlotIndex index, const Rule& rule, Tsc now) {
  const SeenLine& seen = slot(index).seen;
  if (rule.has(kRtcp) || silence_of(seen, now) < tsc_hz_ / kRebindSilenceRtp) return;
  record(index).renewed_at.store(static_cast<std::uint32_t>(seen.packets.load(kRelaxed)), kRelaxed);
}

// Whether a hinted source with any stream may replace the latched one: the party has signalled
// while silent and was not received from since, or it is silent for relatch_after.
bool FlowTable::may_relatch(SlotIndex index, const Rule& rule, const Endpoint& source,
                            const Evidence& evidence, Tsc now) const {
  const Record& rec = record(index);
  const SeenLine& seen = slot(index).seen;
  if (!is_hint(rec, addresses(index), source.address)) return false;
  const std::uint32_t renewed_at = rec.renewed_at.load(kRelaxed);
  if (renewed_at != 0 && renewed_at == static_cast<std::uint32_t>(seen.packets.load(kRelaxed))) {
    return true;
  }
  const auto seconds = links_[media_address(index).link]->relatch_after.count();
  if (seconds == 0 || rule.has(kStrict) || !is_stream(rule, evidence.kind)) return false;
  const std::uint64_t limit = static_cast<std::uint64_t>(seconds) * tsc_hz_;
  if (!rule.has(kRtcp)) return silence_of(seen, now) >= limit;
  return silence_of(seen, now) >= limit * kRtcpIntervals &&
         silence_of(slot(index.of_rtp()).seen, now) >= limit;
}

// Whether RTCP has the SSRC of RTP that has latched since the RTCP port's source was last received
// from: the party has moved with both.
bool FlowTable::follows_rtp(SlotIndex index, const Rule& rule, const Evidence& evidence) const {
  if (!rule.has(kRtcp) || evidence.kind != Evidence::Kind::rtcp) return false;
  const SlotIndex rtp = index.of_rtp();
  return record(rtp).latched_at.load(kRelaxed) > slot(index).seen.last.load(kRelaxed) &&
         slot(rtp).seen.sender.load(kRelaxed) == (kKnownSender | evidence.ssrc);
}

std::optional<DropReason> FlowTable::check_source(SlotIndex index, const Rule& rule,
                                                  const Endpoint& source, const Evidence& evidence,
                                                  Tsc now) const {
  const Record& rec = record(index);
  const SeenLine& seen = slot(index).seen;
  const PartyAddresses own = addresses(index);
  const bool open = rule.has(kOpen);
  if (!rule.has(kActive)) return DropReason::port_inactive;
  if (rule.has(kFixed) || !(open || is_hint(rec, own, source.address)) ||
      !is_sufficient(rule, evidence.kind)) {
    return DropReason::wrong_source;
  }
  if (evidence.kind == Evidence::Kind::rtp && !rec.is_negotiated(evidence.payload_type)) {
    return DropReason::payload_type;
  }
  if (rule.has(kLatched) && !rule.has(kProvisional)) {
    // STUN and DTLS may come from another address of the side than its media: the first RTP packet
    // of the flow relatches. After that, only what continues the stream, handover or silence does.
    const bool first_rtp = evidence.kind == Evidence::Kind::rtp && seen.sender.load(kRelaxed) == 0;
    const bool may_rebind = !rule.has(kStrict);
    if (may_rebind && continues(seen, evidence, now, tsc_hz_)) return std::nullopt;
    const RecordPorts ports = rec.ports.load(kAcquire);
    if (follows_rtp(index, rule, evidence) || returns(ports, own, rule, source)) {
      return std::nullopt;
    }
    const bool silent = is_silent(seen, evidence, now, tsc_hz_);
    const bool may_take_over = rule.has(kHandover) && silent;
    if (!first_rtp && !may_take_over && !is_proposed(ports, own, rule, source, silent)) {
      if (!may_relatch(index, rule, source, evidence, now)) return DropReason::wrong_source;
      return probation(index, rule, source, evidence);
    }
  }
  return open ? probation(index, rule, source, evidence) : std::nullopt;
}

std::optional<DropReason> FlowTable::latch(SlotIndex index, const Endpoint& source,
                                           const Evidence& evidence, Tsc now) {
  const std::optional<Rule> copy = read_rule(slot(index).rule);
  if (!copy) return DropReason::slot_busy;
  if (const auto refused = check_source(index, *copy, source, evidence, now)) {
    if (!copy->has(kOpen)) store_candidate(record(index), addresses(index), source);
    return refused;
  }
  return move_source(
      index, source, kSource | kLatched, now,
      // Signalling may have changed the rule since the copy.
      [&](const Rule& rule) { return check_source(index, rule, source, evidence, now); });
}

void FlowTable::open_provisionally(SlotIndex index, const Endpoint& source, Tsc now) {
  const auto refuses = [&](const Rule& rule) -> std::optional<DropReason> {
    constexpr std::uint32_t kClosed =
        kSource | kLatched | kProvisional | kFixed | kAsymmetric | kSplitOff;
    const bool open = rule.has(kActive) && (rule.flags & kClosed) == 0;
    return open && is_hint(record(index), addresses(index), source.address)
               ? std::nullopt
               : std::optional(DropReason::wrong_source);
  };
  const std::optional<Rule> copy = read_rule(slot(index).rule);
  if (!copy || refuses(*copy)) return;
  // If a lock is taken, the next keepalive tries again.
  (void)move_source(index, source, kProvisional, now, refuses);
}

template <typename Refuses>
std::optional<DropReason> FlowTable::move_source(SlotIndex index, const Endpoint& source,
                                                 std::uint32_t state, Tsc now, Refuses&& refuses) {
  // If the next hop is not resolved yet, the first packet sent there resolves it.
  const auto hop = neighbors_of(index).try_resolve(source.address, now);

  std::optional<SideLock> side = try_lock(index);
  if (!side) return DropReason::latch_contended;
  if (const auto refused = refuses(side->rule)) return refused;
  const bool split = side->rule.has(kSplit);
  std::optional<SideLock> rtcp = split ? try_lock(index.of_rtcp()) : std::nullopt;
  if (split && !rtcp) return DropReason::latch_contended;
  const std::optional<NextHop> next_hop = hop ? std::optional(*hop) : std::nullopt;
  if ((state & kLatched) != 0) {
    record(index).latched_at.store(now.ticks, kRelaxed);
    note_place(record(index), addresses(index), side->rule, source);
  }
  // In this order: see copy_rtp_source().
  set_source(*side, source, state, next_hop);
  if (rtcp && rtcp->rule.has(kSplitOff)) set_source(*rtcp, source, state, next_hop);
  return std::nullopt;
}

std::optional<FlowTable::SideLock> FlowTable::try_lock(SlotIndex index) const {
  std::optional<RuleLock> lock = RuleLock::try_lock(slot(index).rule);
  if (!lock) return std::nullopt;
  const Rule rule = lock->rule();
  std::optional<RuleLock> peer =
      rule.has(kPeer) ? RuleLock::try_lock(slot(rule.peer).rule) : std::nullopt;
  if (rule.has(kPeer) && !peer) return std::nullopt;
  return SideLock{index, std::move(*lock), std::move(peer), rule};
}

void FlowTable::set_source(SideLock& side, const Endpoint& source, std::uint32_t state,
                           const std::optional<NextHop>& hop) const {
  Rule& rule = side.rule;
  rule.source = source;
  rule.flags = (rule.flags & ~(kSource | kLatched | kProvisional)) | state;
  set_deltas(side.index, rule);
  side.lock.commit(rule);
  if (!side.peer || rule.has(kAsymmetric)) return;
  Rule peer = side.peer->rule();
  if (!peer.has(kPeer) || peer.peer != side.index) return;
  set_destination(rule.peer, peer, source);
  if (hop) peer.hop = *hop;
  side.peer->commit(peer);
}

std::expected<NeighborWord, DropReason> FlowTable::refresh_next_hop(SlotIndex index, Tsc now) {
  const std::optional<Rule> rule = read_rule(slot(index).rule);
  if (!rule) return std::unexpected(DropReason::slot_busy);
  if (!rule->has(kDestination)) return std::unexpected(DropReason::no_destination);
  // Not on a link. The packet's copy of the rule is older.
  if (rule->hop == kInsideHop) return std::unexpected(DropReason::slot_busy);
  NeighborTable& neighbors = neighbors_of(rule->peer);
  NextHop hop = rule->hop;
  HopState state = neighbors.lookup(hop);
  if (state == HopState::stale) {
    const auto found = neighbors.try_resolve(rule->destination.address, now);
    if (!found) {
      switch (found.error()) {
        case ResolveError::no_route:
          return std::unexpected(DropReason::no_route);
        case ResolveError::table_full:
          return std::unexpected(DropReason::neighbor_table_full);
        case ResolveError::contended:
          return std::unexpected(DropReason::neighbor_unresolved);
      }
    }
    hop = *found;
    set_hop(slot(index).rule, rule->peer, rule->destination, hop);
    state = neighbors.lookup(hop);
  }
  const NeighborWord word = neighbors.word(hop.index);
  if (state != HopState::reachable || !word.matches(hop)) {
    return std::unexpected(DropReason::neighbor_unresolved);
  }
  return word;
}

}  // namespace millrace

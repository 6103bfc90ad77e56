// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/flow_table.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "dataplane/flow/stream.h"
#include "dataplane/wire/checksum.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr std::size_t bytes_of_addresses(Family family) {
  return PartyAddresses::kCount * PartyAddresses::words_of(family) * sizeof(PartyAddresses::Word);
}
// docs/capacity.md: memory per media address
static_assert(bytes_of_addresses(Family::ipv4) == 40 && bytes_of_addresses(Family::ipv6) == 160);
constexpr std::uint32_t kSourceState = kSource | kLatched | kProvisional | kAtProposed;

void reset(SeenLine& seen) {
  clear(seen.packets, seen.bytes, seen.last, seen.sender, seen.latest, seen.base, seen.bad_sequence,
        seen.transit, seen.jitter);
}

void reset(Record& record) {
  clear(record.candidate_port, record.renewed_at, record.stun, record.not_received,
        record.candidate_stream, record.latched_at, record.past_expected);
  std::apply([](auto&... counts) { clear(counts...); }, record.drops);
}

std::uint32_t kind_flags(const Path& path, const Side& side, const Side& other) {
  std::uint32_t flags = kActive;
  if (path.payload == Payload::rtp) {
    flags |= kRtp;
    if (side.rtcp_mux) flags |= other.rtcp_mux ? kMux : kMux | kSplit;
  }
  if (path.payload == Payload::rtcp) {
    flags |= kRtcp;
    if (side.rtcp_mux) flags |= kSplitOff;
    if (other.rtcp_mux) flags |= kJoin;
  }
  if (path.encrypted) flags |= kCipher;
  if (path.dscp) flags |= kMark | static_cast<std::uint32_t>(*path.dscp & 0x3f) << kDscpShift;
  if (side.latching == Latching::open) flags |= kOpen;
  if (side.latching == Latching::off) flags |= kFixed;
  if (side.asymmetric) flags |= kAsymmetric;
  if (side.strict_source) flags |= kStrict;
  if (side.handover) flags |= kHandover;
  if (side.nat_punch) flags |= kNatPunch;
  if (side.blocking == Blocking::drop) flags |= kBlocked;
  if (side.blocking == Blocking::silence) flags |= kSilenced;
  if ((side.drop_events && side.event_types.any()) || side.only_negotiated) flags |= kFiltered;
  return flags;
}

void store_types(std::array<std::atomic<std::uint64_t>, 2>& words, const std::bitset<128>& types) {
  const auto halves = std::bit_cast<std::array<std::uint64_t, 2>>(types);
  for (std::size_t i = 0; i < 2; ++i) words[i].store(halves[i], std::memory_order_release);
}

// Destination of media for a side, by its own rule: the latched source, unless the side receives
// elsewhere, or signalling has moved it since and it has not latched again.
std::optional<Endpoint> destination_of(const Rule& rule, const std::optional<Endpoint>& remote) {
  if (rule.has(kAsymmetric)) return remote;
  if (rule.has(kProvisional) && !rule.has(kLatched)) return rule.source;
  const bool moved = rule.has(kProvisional) && remote;
  if (rule.has(kLatched) && !moved) return rule.source;
  return remote;
}

}  // namespace

SlotMemory SlotMemory::of_process() {
  return {[](std::size_t bytes) {
            // Random slots miss the TLB: use transparent huge pages if enabled.
            constexpr std::size_t kLargePage = std::size_t{2} << 20;
            const std::size_t whole = (bytes + kLargePage - 1) / kLargePage * kLargePage;
            void* const memory = std::aligned_alloc(kLargePage, whole);
            if (memory != nullptr) madvise(memory, whole, MADV_HUGEPAGE);
            return memory;
          },
          std::free};
}

std::size_t FlowTable::bytes_per_address(Family family) {
  return kPorts * (sizeof(Slot) + sizeof(Record) + bytes_of_addresses(family)) +
         kPorts / 2 * sizeof(Quality);
}

FlowTable::FlowTable(std::span<Link* const> links, std::uint64_t tsc_hz, SlotMemory memory)
    : links_(links.begin(), links.end()), tsc_hz_(tsc_hz), memory_(memory) {
  for (std::size_t link = 0; link < links.size(); ++link) {
    for (const Prefix& prefix : links[link]->addresses) {
      const auto id = static_cast<std::uint16_t>(media_addresses_.size());
      media_addresses_.push_back({prefix.address, static_cast<std::uint16_t>(link)});
      own_.push_back({prefix.address.words(), MediaAddressId{id}});
    }
    filters_.emplace_back(*links[link], links);
  }
  std::ranges::sort(own_, {}, &OwnAddress::words);
  blocks_.reserve(media_addresses_.size());
  for (std::size_t i = 0; i < media_addresses_.size(); ++i) {
    const Family family = media_addresses_[i].address.family();
    void* const block = memory_.allocate(bytes_per_address(family));
    if (block == nullptr) {
      for (const Block& b : blocks_) memory_.release(b.slots);
      throw std::bad_alloc();
    }
    // Construction faults in every page now, not on the first packet.
    auto* const slots = ::new (block) Slot[kPorts];
    auto* const records = ::new (static_cast<void*>(slots + kPorts)) Record[kPorts];
    for (std::uint32_t port = 0; port < kPorts; ++port) {
      slots[port].seen.self = SlotIndex(static_cast<std::uint32_t>(i << 16) | port);
    }
    auto* const qualities = ::new (static_cast<void*>(records + kPorts)) Quality[kPorts / 2];
    const std::size_t words = kPorts * bytes_of_addresses(family) / sizeof(PartyAddresses::Word);
    void* const rest = qualities + kPorts / 2;
    auto* const addresses = ::new (rest) PartyAddresses::Word[words]{};
    blocks_.push_back({slots, records, qualities, addresses, family});
  }
}

FlowTable::~FlowTable() {
  for (const Block& block : blocks_) memory_.release(block.slots);
}

std::optional<MediaAddressId> FlowTable::find_own(const IpAddress& address) const {
  const auto found = std::ranges::lower_bound(own_, address.words(), {}, &OwnAddress::words);
  if (found == own_.end() || found->words != address.words()) return std::nullopt;
  return found->id;
}

bool FlowTable::is_inside(SlotIndex index, const IpAddress& remote) const {
  return remote.family() == media_address(index).address.family() && find_own(remote);
}

std::optional<DropReason> FlowTable::unreachable(SlotIndex index, const IpAddress& address) const {
  const MediaAddress& own = media_address(index);
  if (address.family() != own.address.family()) return DropReason::source_invalid;
  return filters_[own.link].refuses(address);
}

// Checksum deltas of the rewrite (RFC 1624): source (known to be rule.source) and destination (the
// receiving port) are replaced, and the TTL, the high byte of its word in the IPv4 header, loses 1.
// The prefix of the mapped form sums to ones' complement zero, so both families are summed as
// stored.
void FlowTable::set_deltas(SlotIndex index, Rule& rule) const {
  if (!rule.has(kDestination) || !(rule.has(kSource) || rule.has(kInside))) return;
  const auto delta = [](const IpAddress& before, const IpAddress& after) {
    const auto sum = [](const IpAddress& a) {
      return ones_sum(std::as_bytes(std::span(a.bytes())));
    };
    return word_delta(sum(before), sum(after));
  };
  const LocalPort in = (rule.has(kSplitOff) ? index.of_rtp() : index).local();
  const LocalPort out = rule.egress().local();
  const std::uint32_t addresses = delta(rule.source.address, media_address(rule.peer).address) +
                                  delta(media_address(index).address, rule.destination.address);
  const std::uint32_t ports = word_delta(rule.source.port.wire().raw(), out.port.wire().raw()) +
                              word_delta(in.port.wire().raw(), rule.destination.port.wire().raw());
  const std::uint32_t ttl = word_delta(Be16(0x0100).raw(), 0);
  rule.ip_delta = fold(std::uint64_t{addresses} + ttl);
  rule.udp_delta = fold(std::uint64_t{addresses} + ports);
}

void FlowTable::set_destination(SlotIndex index, Rule& rule,
                                const std::optional<Endpoint>& destination) const {
  const Endpoint before = rule.destination;
  rule.flags &= ~kDestination;
  if (destination && !rule.has(kHeld)) rule.flags |= kDestination;
  rule.destination = destination.value_or(Endpoint{});
  if (rule.destination.address != before.address) rule.hop = NextHop{};
  set_deltas(index, rule);
}

void FlowTable::set_hop(RuleLine& line, SlotIndex peer, const Endpoint& destination, NextHop hop) {
  std::optional<RuleLock> lock = RuleLock::try_lock(line);
  if (!lock) return;
  Rule rule = lock->rule();
  if (!rule.has(kDestination) || rule.destination != destination || rule.peer != peer) return;
  rule.hop = hop;
  lock->commit(rule);
}

Rule FlowTable::apply_side(SlotIndex index, Rule rule, const Side& side, const Side& other,
                           const Path& path, Tsc now) {
  Record& rec = record(index);
  const bool is_new = !rule.has(kActive);
  if (is_new) {
    reset(slot(index).seen);
    reset(rec);
    if (!is_active(index.other_of_pair())) reset(quality(index));
  }
  std::optional<Endpoint> remote = side.remote;
  if (remote && remote->port.number() == 0) remote.reset();
  // unreachable() refuses every address of ours.
  const bool refused = remote && unreachable(index, remote->address);
  const bool inside = refused && is_inside(index, remote->address);
  if (refused && !inside) remote.reset();
  PartyAddresses own = addresses(index);
  const bool could_latch = !is_new && !rule.has(kFixed) && !rule.has(kSplitOff);
  const std::uint32_t kept = could_latch ? kSourceState : 0;
  rule.flags = (rule.flags & kept) | kind_flags(path, side, other);
  std::optional<Endpoint> former;
  bool was_agreed = false;
  if (rule.has(kAtProposed)) {
    const RecordPorts before = rec.ports.load(kRelaxed);
    if (before.former != 0) {
      former = Endpoint{own.load(before.former_hint), UdpPort(before.former)};
    }
    was_agreed = own.find(rule.source.address, before.hints()) < before.agreed_hints;
  }
  RecordPorts ports = apply_hints(index, side);
  ports.remote = remote ? remote->port.number() : 0;
  if (inside || rule.has(kFixed)) {
    rule.flags &= ~kSourceState;
    if (remote) rule.flags |= inside ? kInside : kSource;
    rule.source = remote.value_or(Endpoint{});
  } else if (rule.has(kAtProposed)) {
    const std::size_t hint = own.find(rule.source.address, ports.hints());
    if (ports.proposes(hint)) {
      keep_former(own, former, ports);  // the proposal stays
    } else {
      rule.flags &= ~kAtProposed;
      const bool agreed =
          hint < ports.agreed_hints && (side.on_publish == OnPublish::reopen || !was_agreed);
      if (!agreed && former) rule.source = *former;
      if (!agreed && !former) rule.flags |= kProvisional;
    }
  } else if (side.on_publish == OnPublish::reopen) {
    rule.flags = rule.has(kLatched) ? rule.flags | kProvisional : rule.flags & ~kProvisional;
  }
  if (rule.has(kLatched) && side.on_publish == OnPublish::renew) renew(index, rule, now);
  // The signalled address is the latched one already.
  if (rule.has(kLatched) && remote == rule.source) rule.flags &= ~kProvisional;
  rule.clock_rate = clock_rate_of(side.clock_hz, tsc_hz_);
  store_types(rec.payload_types, side.payload_types);
  store_types(rec.event_types, side.event_types);
  rec.drop_events.store(side.drop_events, std::memory_order_release);
  rec.only_negotiated.store(side.only_negotiated, std::memory_order_release);
  if (remote) own.store(PartyAddresses::kRemote, remote->address);
  rec.ports.store(ports, std::memory_order_release);
  return rule;
}

// Copies the source of the RTP port, which is also that of its multiplexed RTCP. Precondition:
// `index` is locked, so that no worker can latch on the RTP port meanwhile.
void FlowTable::copy_rtp_source(SlotIndex index, Rule& rule) const {
  std::optional<Rule> rtp;
  while (!(rtp = read_rule(slot(index.of_rtp()).rule))) {
  }
  rule.flags = (rule.flags & ~kSourceState) | (rtp->flags & kSourceState);
  rule.source = rtp->source;
}

void FlowTable::detach(RuleLine& line, SlotIndex peer) {
  RuleLock lock = RuleLock::lock(line);
  Rule rule = lock.rule();
  if (!rule.has(kPeer) || rule.peer != peer) return;
  rule.flags &= ~(kPeer | kDestination | kHeld);
  lock.commit(rule);
}

void FlowTable::publish(const Path& path, Tsc now) {
  const std::array<SlotIndex, 2> index{SlotIndex(path.a.local), SlotIndex(path.b.local)};
  const std::array<const Side*, 2> side{&path.a, &path.b};
  for (const std::size_t i : {0U, 1U}) {
    std::optional<Rule> before;
    while (!(before = read_rule(slot(index[i]).rule))) {
    }
    if (before->has(kPeer) && before->peer != index[1 - i])
      detach(slot(before->peer).rule, index[i]);
  }

  const std::size_t low = index[0] < index[1] ? 0 : 1;
  RuleLock first = RuleLock::lock(slot(index[low]).rule);
  RuleLock second = RuleLock::lock(slot(index[1 - low]).rule);
  const std::array<RuleLock*, 2> lock =
      low == 0 ? std::array{&first, &second} : std::array{&second, &first};
  const bool across =
      media_address(index[0]).address.family() != media_address(index[1]).address.family();
  std::array<Rule, 2> rules;
  for (const std::size_t i : {0U, 1U}) {
    rules[i] = apply_side(index[i], lock[i]->rule(), *side[i], *side[1 - i], path, now);
    if (rules[i].has(kSplitOff)) copy_rtp_source(index[i], rules[i]);
    rules[i].flags |= side[1 - i]->deliver ? kPeer : kPeer | kHeld;
    if (across) rules[i].flags |= kBridge;
    if (rules[i].peer != index[1 - i]) rules[i].hop = NextHop{};
    rules[i].peer = index[1 - i];
  }
  for (const std::size_t i : {0U, 1U}) {
    const std::size_t other = 1 - i;
    set_destination(index[i], rules[i], destination_of(rules[other], remote_of(index[other])));
    if (rules[other].has(kInside)) rules[i].hop = kInsideHop;
  }
  for (const std::size_t i : {0U, 1U}) lock[i]->commit(rules[i]);

  // Without the locks: resolve() may wait, and workers cannot latch on a locked slot. A kept next
  // hop is checked per packet.
  for (const std::size_t i : {0U, 1U}) {
    if (!rules[i].has(kDestination) || rules[i].hop != NextHop{}) continue;
    const Endpoint& to = rules[i].destination;
    const auto hop = neighbors_of(index[1 - i]).resolve(to.address, now);
    if (hop) set_hop(slot(index[i]).rule, index[1 - i], to, *hop);
  }
}

void FlowTable::withdraw(LocalPort port) {
  const SlotIndex index(port);
  std::optional<SlotIndex> peer;
  {
    RuleLock lock = RuleLock::lock(slot(index).rule);
    const Rule rule = lock.rule();
    if (rule.has(kPeer)) peer = rule.peer;
    reset(slot(index).seen);
    reset(record(index));
    lock.commit(Rule{});
    if (!is_active(index.other_of_pair())) reset(quality(index));
  }
  if (peer) detach(slot(*peer).rule, index);
}

std::optional<Rule> FlowTable::rtcp_rule(SlotIndex index, const Endpoint& source) const {
  std::optional<Rule> rule = read_rule(slot(index.of_rtcp()).rule);
  if (!rule) return std::nullopt;
  if (!rule->has(kRtcp)) rule->flags &= ~kDestination;  // no RTCP path
  rule->source = source;
  rule->flags |= kSource;
  set_deltas(index, *rule);
  return rule;
}

std::optional<Endpoint> FlowTable::remote_of(SlotIndex index) const {
  const std::uint16_t port = record(index).ports.load(std::memory_order_acquire).remote;
  if (port == 0) return std::nullopt;
  return Endpoint{addresses(index).load(PartyAddresses::kRemote), UdpPort(port)};
}

bool FlowTable::is_active(SlotIndex index) const {
  return (slot(index).rule.head.load(std::memory_order_acquire) >> 32 & kActive) != 0;
}

void FlowTable::note_rtcp(SlotIndex index, SlotIndex peer, std::span<const std::byte> packet,
                          std::uint32_t clock_rate, Tsc now) const {
  const SeenLine& rtp = slot(peer.of_rtp()).seen;
  const std::uint64_t sender = rtp.sender.load(kRelaxed);
  const std::optional<std::uint32_t> stream =
      sender == 0 ? std::nullopt : std::optional(static_cast<std::uint32_t>(sender));
  note_reports(packet, quality(index), quality(peer), stream, clock_of(clock_rate, tsc_hz_), now,
               tsc_hz_);
}

std::optional<QualityReport> FlowTable::read_quality(LocalPort port, Tsc now) const {
  return report_of(quality(SlotIndex(port)), now, tsc_hz_);
}

FlowReport FlowTable::read(LocalPort port, Tsc now) const {
  const SlotIndex index(port);
  std::optional<Rule> rule;
  while (!(rule = read_rule(slot(index).rule))) {
  }
  FlowReport report;
  if (!rule->has(kActive)) return report;
  const SeenLine& seen = slot(index).seen;
  const Record& rec = record(index);
  report.active = true;
  report.packets = seen.packets.load(kRelaxed);
  report.bytes = seen.bytes.load(kRelaxed);
  const auto minus = [](std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; };
  report.stun = rec.stun.load(kRelaxed);
  // Drops after admission, by source, and by content.
  report.forwarded = minus(
      report.packets, rec.dropped(DropReason::no_destination, DropReason::neighbor_table_full));
  report.refused = rec.dropped(DropReason::source_invalid, DropReason::latch_contended);
  report.malformed = rec.dropped(DropReason::empty_datagram, DropReason::stun_malformed);
  for (std::size_t i = 0; i < rec.drops.size(); ++i) report.drops[i] = rec.drops[i].load(kRelaxed);
  const bool admitted = report.packets > 0;
  report.nat_punch = rule->has(kNatPunch) && !admitted;
  const bool latched = rule->has(kLatched) && !rule->has(kSplitOff);
  if (latched || (rule->has(kFixed) && admitted)) report.latched = rule->source;
  if (rule->has(kDestination)) report.destination = rule->destination;
  const auto since = [&](const std::atomic<std::uint64_t>& time) {
    const auto ticks = static_cast<double>(elapsed(Tsc{time.load(kRelaxed)}, now));
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(ticks / static_cast<double>(tsc_hz_)));
  };
  if (latched) report.latched_for = since(rec.latched_at);
  if (admitted) report.idle = since(seen.last);
  const std::uint16_t stranger = rec.candidate_port.load(kRelaxed);
  if (!rule->has(kOpen) && stranger != 0) {
    report.stranger =
        Endpoint{addresses(index).load(PartyAddresses::kCandidate), UdpPort(stranger)};
  }
  const Latest latest(seen.latest.load(kRelaxed));
  if (rule->has(kRtcp) || latest.raw() == 0) return report;

  report.ssrc = static_cast<std::uint32_t>(seen.sender.load(kRelaxed));
  report.extended_highest_sequence = latest.sequence();
  const std::uint32_t current = report.extended_highest_sequence - seen.base.load(kRelaxed) + 1;
  report.expected = rec.past_expected.load(kRelaxed) + current;
  report.lost = static_cast<std::int64_t>(report.expected -
                                          minus(report.packets, rec.not_received.load(kRelaxed)));
  report.jitter = seen.jitter.load(kRelaxed) >> 4;
  report.payload_type = payload_type_of(latest.beginning());
  return report;
}

}  // namespace millrace

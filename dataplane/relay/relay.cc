// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay/relay.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/flow/stream.h"
#include "dataplane/relay/rewrite.h"
#include "dataplane/wire/bytes.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;

[[gnu::always_inline]] inline bool checksum_verified(const rte_mbuf* packet) {
  return (packet->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
}

[[gnu::always_inline]] inline bool begins_as_ipv6(const Arrival& arrival) {
  return arrival.length() > kEtherSize && family_of(arrival.ip()) == Family::ipv6;
}

// Whether a datagram is addressed to us. If so, prefetches its slot into L2. L1 has few fill
// buffers and drops prefetches beyond them: a fifth of those of a burst when slots come from
// memory.
template <Family F>
[[gnu::always_inline]] inline bool find_slot(const typename LocalAddresses<F>::Index& local,
                                             const std::byte* frame, Slot*& slot) {
  using Key = AddressKey<F>;
  const std::byte* const ip = frame + kEtherSize;
  Slot* slots = nullptr;
  if (!local.find(load<Key>(ip + ip_size(F) - sizeof(Key)), slots)) [[unlikely]]
    return false;
  slot = slots + destination_port(ip + ip_size(F));
  rte_prefetch1(&slot->rule);
  rte_prefetch1(&slot->seen);
  return true;
}

// Removes Ethernet padding. Preconditions: the frame holds the headers, and their lengths were
// checked.
template <Family F>
void trim(rte_mbuf* packet, const std::byte* frame) {
  const std::size_t headers = kEtherSize + ip_size(F);
  const std::size_t length = headers + udp_length(frame + headers);
  packet->pkt_len = static_cast<std::uint32_t>(length);
  packet->data_len = static_cast<std::uint16_t>(length);
}

// Sums pkt_len (bits 0 to 31) and data_len (bits 32 to 47) over a burst with one addition per
// packet, as the fields are adjacent. The sums differ if a packet has more than one segment.
static_assert(offsetof(rte_mbuf, data_len) == offsetof(rte_mbuf, pkt_len) + 4);

[[gnu::always_inline]] inline std::uint64_t lengths_of(const rte_mbuf* packet) {
  return load<std::uint64_t>(reinterpret_cast<const std::byte*>(packet) +
                             offsetof(rte_mbuf, pkt_len));
}

[[gnu::always_inline]] inline bool has_chains(std::uint64_t lengths) {
  return static_cast<std::uint32_t>(lengths) != static_cast<std::uint16_t>(lengths >> 32);
}

std::size_t longest_for_all(std::span<Link* const> links) {
  std::size_t mtu = RTE_ETHER_MTU;
  for (const Link* link : links) mtu = std::min(mtu, link->mtu);
  return kEtherSize + mtu;
}

// Multi-segment mbufs. Not produced by our RX configuration, so handled off the fast path.
// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): from, to
[[gnu::noinline]] void set_chains_aside(Arrivals& arrivals, Arrivals& others) {
  Arrival* to = arrivals.begin();
  for (const Arrival& arrival : arrivals.all()) {
    if (arrival.packet->nb_segs == 1) {
      *to++ = arrival;
    } else {
      others.add({arrival.packet, nullptr, arrival.frame});
    }
  }
  arrivals.end_at(to);
}

// Frames above the smallest MTU, if that is below Ethernet's. They take the slow path, which drops
// them unless the MTU of the network they leave by is large enough.
// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): from, to
[[gnu::noinline]] void set_long_aside(std::size_t longest, Arrivals& arrivals, Arrivals& others) {
  Arrival* to = arrivals.begin();
  for (const Arrival& arrival : arrivals.all()) {
    if (arrival.length() <= longest) {
      *to++ = arrival;
    } else {
      others.add({arrival.packet, nullptr, arrival.frame});
    }
  }
  arrivals.end_at(to);
}

}  // namespace

Relay::Relay(FlowTable& flows, std::span<Link* const> links, Host& host, std::span<TxBatch> tx,
             WorkerStats& stats)
    : flows_(flows),
      host_(host),
      tx_(tx),
      stats_(stats),
      longest_(longest_for_all(links)),
      early_(flows.tsc_hz()) {
  for (const Link* link : links) {
    if (link->nic == nics_.size()) {
      nics_.push_back({.mac = link->mac.word(),
                       .v4 = {PlainDatagram<Family::ipv4>(link->mac), {links, link->nic, flows}},
                       .v6 = {PlainDatagram<Family::ipv6>(link->mac), {links, link->nic, flows}}});
    }
    for (const Prefix& prefix : link->addresses) {
      const std::uint16_t type =
          prefix.address.is_v4() ? RTE_BE16(RTE_ETHER_TYPE_IPV4) : RTE_BE16(RTE_ETHER_TYPE_IPV6);
      tx_contexts_.push_back({.mac_and_type = link->mac.word() | std::uint64_t{type} << 48,
                              .address = prefix.address.words(),
                              .neighbors = &link->neighbors,
                              .batch = &tx_[link->nic],
                              .longest = kEtherSize + link->mtu});
    }
  }
}

// Fast path: plain RTP of a known stream, from the slot's source to a resolved next hop. False,
// with nothing changed or counted, for any other packet.
template <Family In, Family Out>
[[gnu::always_inline]] inline bool Relay::forward_usual(Arrival arrival, Tsc now) {
  Slot& slot = *arrival.slot;
  // One compare of the first word checks that no writer is active and that the flags fit.
  constexpr std::uint32_t kAcross = In == Out ? 0 : kBridge;
  constexpr std::uint64_t kWanted = std::uint64_t{kSource | kDestination | kRtp | kAcross} << 32;
  constexpr std::uint64_t kUnwanted =
      std::uint64_t{kMark | kMediaFilters | (kBridge & ~kAcross)} << 32 | RuleLine::kStoring;
  const std::uint64_t head = slot.rule.head.load(kAcquire);
  RuleWords words;
  copy_words<In, Out>(slot.rule, head, words);
  if ((head & (kWanted | kUnwanted)) != kWanted) [[unlikely]]
    return false;
  if (slot.rule.head.load(kRelaxed) != head) [[unlikely]]
    return false;
  const std::byte* const ip = arrival.ip();
  if (!is_from<In>(words, ip)) [[unlikely]]
    return false;
  const std::byte* const rtp = ip + ip_size(In) + kUdpSize;
  const Latest latest = Latest(slot.seen.latest.load(kRelaxed)).next();
  if (!is_usual(slot.seen, rtp, latest)) [[unlikely]]
    return false;
  if constexpr (In == Family::ipv4 && Out == Family::ipv6) {
    if (arrival.length() + (kIpv6Size - kIpv4Size) > longest_ ||
        arrival.packet->data_off < kIpv6Size - kIpv4Size || lacks_udp_checksum(ip)) [[unlikely]] {
      return false;
    }
  }
  const TxContext& context = tx_contexts_[words.tx_context()];
  const NeighborWord next = context.neighbors->word(words.hop());
  if (!words.hop_matches(next)) [[unlikely]]
    return false;
  send<In, Out>(arrival, words, context, next);
  note_datagram(slot.seen, arrival.length() - udp_headers(Out), now);
  note_next(slot.seen, rtp, latest, arrival_of(now.ticks, words.clock_rate()));
  return true;
}

// IPv4-to-IPv6 (and back) is detected from the slot's flags, after the compare that every packet
// pays for.
[[gnu::noinline]] void Relay::forward_across(const Arrival& arrival, Tsc now, Drops& drops) {
  const bool done = family_of(arrival.ip()) == Family::ipv4
                        ? forward_usual<Family::ipv4, Family::ipv6>(arrival, now)
                        : forward_usual<Family::ipv6, Family::ipv4>(arrival, now);
  if (!done) forward_unusual(arrival, now, drops);
}

template <Family In>
[[gnu::noinline]] void Relay::forward(Arrivals& arrivals, Tsc now, Drops& drops) {
  Arrival* const end = arrivals.end();
  end->slot = arrivals.begin()->slot;  // valid address for the last iteration's prefetch
  for (const Arrival* at = arrivals.begin(); at != end; ++at) {
    rte_prefetch0(&at[1].slot->rule);
    if (!forward_usual<In, In>(*at, now)) [[unlikely]] {
      forward_across(*at, now, drops);
    }
  }
}

// The check of the first pass: a plain datagram to us in a frame of the given length. Precondition:
// single-segment mbuf.
template <Family F>
struct Relay::PlainArrival {
  PlainDatagram<F> plain;
  typename LocalAddresses<F>::Index local;

  [[gnu::always_inline]] bool find(Arrival& arrival, std::size_t length) const {
    return plain.matches({arrival.frame, length}, checksum_verified(arrival.packet)) &&
           find_slot<F>(local, arrival.frame, arrival.slot);
  }
};

// The first pass: keeps plain datagrams to us in `arrivals`, moves all others to `others`. Most
// bursts have no others. The loop that searches for the first of them therefore moves and calls
// nothing, and its state stays in registers.
template <Family F>
[[gnu::noinline]] void Relay::arrive(const Ingress<F>& ingress, Arrivals& arrivals,
                                     Arrivals& others) {
  const PlainArrival<F> usual{ingress.plain, ingress.local.index()};
  Arrival* at = arrivals.begin();
  Arrival* const end = arrivals.end();
  while (at != end && usual.find(*at, at->length())) ++at;
  if (at != end) [[unlikely]]
    partition(ingress, arrivals, at, others);
}

// The rest of the first pass, from the first packet that is not a plain datagram to us.
template <Family F>
[[gnu::noinline]] void Relay::partition(const Ingress<F>& ingress, Arrivals& arrivals,
                                        Arrival* from, Arrivals& others) {
  const PlainArrival<F> usual{ingress.plain, ingress.local.index()};
  Arrival* to = from;
  for (Arrival* at = from; at != arrivals.end(); ++at) {
    const bool is_short = at->length() <= RTE_ETHER_MIN_LEN;
    if (usual.find(*at, at->length()) || (is_short && find_padded(usual, *at))) {
      *to++ = *at;
    } else {
      others.add({at->packet, nullptr, at->frame});
    }
  }
  arrivals.end_at(to);
}

// A plain datagram in a frame padded to Ethernet's minimum size (telephone-event, comfort noise).
// It stays in `arrivals`, so the order of packets is kept.
template <Family F>
bool Relay::find_padded(const PlainArrival<F>& usual, Arrival& arrival) {
  const std::size_t headers = kEtherSize + ip_size(F);
  if (arrival.length() < headers + kUdpSize) return false;
  const std::size_t length = headers + udp_length(arrival.frame + headers);
  if (length > arrival.length() || !usual.find(arrival, length)) return false;
  trim<F>(arrival.packet, arrival.frame);
  return true;
}

// A datagram that classify() accepted but PlainDatagram did not, e.g. one too short for RTP.
template <Family F>
std::optional<DropReason> Relay::arrive_slow(const Ingress<F>& ingress, Arrival arrival,
                                             Arrivals& arrivals) {
  if (!find_slot<F>(ingress.local.index(), arrival.frame, arrival.slot)) {
    return DropReason::not_local;
  }
  trim<F>(arrival.packet, arrival.frame);
  arrivals.add(arrival);
  return std::nullopt;
}

void Relay::classify_slow(std::size_t nic, const Arrival& arrival, Tsc now, Arrivals& arrivals,
                          Drops& drops) {
  const Nic& own = nics_[nic];
  rte_mbuf& packet = *arrival.packet;
  const FrameClass frame = packet.nb_segs == 1 ? classify({arrival.frame, arrival.length()},
                                                          own.mac, checksum_verified(&packet))
                                               : DropReason::multi_segment;
  std::optional<DropReason> reason;
  switch (frame.kind) {
    case FrameKind::udp:
      reason = arrive_slow(own.v4, arrival, arrivals);
      break;
    case FrameKind::udp6:
      reason = arrive_slow(own.v6, arrival, arrivals);
      break;
    case FrameKind::drop:
      reason = frame.reason;
      break;
    default:
      reason = host_.receive(nic, frame.kind, packet, now, tx_[nic]);
  }
  if (reason) drops.add(&packet, *reason);
}

void Relay::burst(std::size_t nic, std::span<rte_mbuf*> rx, Tsc now) {
  Arrivals first, second, others, slow;
  std::uint64_t lengths = 0;
  Arrival* to = first.begin();
#pragma GCC unroll 4
  for (rte_mbuf* packet : rx) {
    to->packet = packet;
    to->frame = rte_pktmbuf_mtod(packet, std::byte*);
    rte_prefetch0(to->frame);
    lengths += lengths_of(packet);
    ++to;
  }
  first.end_at(to);
  if (has_chains(lengths)) [[unlikely]]
    set_chains_aside(first, others);
  if (longest_ < kLongestFrame) [[unlikely]]
    set_long_aside(longest_, first, others);
  // All packets of a burst are likely of the first one's family.
  const bool v6_first = first.size() != 0 && begins_as_ipv6(*first.begin());
  Arrivals& v4 = v6_first ? second : first;
  Arrivals& v6 = v6_first ? first : second;
  if (v6_first) {
    arrive(nics_[nic].v6, v6, v4);
    if (v4.size() != 0) arrive(nics_[nic].v4, v4, others);
  } else {
    arrive(nics_[nic].v4, v4, v6);
    if (v6.size() != 0) arrive(nics_[nic].v6, v6, others);
  }
  Drops drops(stats_);
  for (const Arrival& arrival : others.all()) classify_slow(nic, arrival, now, slow, drops);

  const unsigned refused = drops.count();
  const std::uint64_t sent = bytes_in(tx_);
  if (v4.size() != 0) forward<Family::ipv4>(v4, now, drops);
  if (v6.size() != 0) forward<Family::ipv6>(v6, now, drops);
  for (const Arrival& arrival : slow.all()) forward_unusual(arrival, now, drops);
  const std::size_t datagrams = v4.size() + v6.size() + slow.size();
  stats_.rx_packets.add(rx.size());
  stats_.rx_bytes.add(static_cast<std::uint32_t>(lengths));
  stats_.relayed.add(datagrams - (drops.count() - refused));
  stats_.relayed_bytes.add(bytes_in(tx_) - sent);
}

}  // namespace millrace

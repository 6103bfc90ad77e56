// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay.h"

#include <algorithm>
#include <array>

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/rewrite.h"
#include "dataplane/stream.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;

[[gnu::always_inline]] inline std::span<const std::byte> frame_of(const rte_mbuf* packet) {
  return {rte_pktmbuf_mtod(packet, const std::byte*), packet->data_len};
}

[[gnu::always_inline]] inline bool checksum_verified(const rte_mbuf* packet) {
  return (packet->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
}

// Whether a datagram is addressed to us; its slot is on the way then.
template <Family F>
[[gnu::always_inline]] inline bool find_slot(const typename LocalAddresses<F>::Index& local,
                                             const std::byte* ip, Slot*& slot) {
  using Key = AddressKey<F>;
  Slot* slots = nullptr;
  if (!local.find(load<Key>(ip + ip_size(F) - sizeof(Key)), slots)) [[unlikely]]
    return false;
  slot = slots + destination_port(ip + ip_size(F));
  rte_prefetch0(&slot->orders);
  rte_prefetch0(&slot->seen);
  return true;
}

// Takes off what Ethernet has added to short frames. Precondition: it is long enough for the
// headers, and they are whose it is classified by.
template <Family F>
void trim(rte_mbuf* packet, const std::byte* ip) {
  const std::size_t length = kEtherSize + ip_size(F) + udp_length(ip + ip_size(F));
  packet->pkt_len = static_cast<std::uint32_t>(length);
  packet->data_len = static_cast<std::uint16_t>(length);
}

}  // namespace

Relay::Relay(FlowTable& flows, std::span<Link* const> links, Host& host, WorkerStats& stats)
    : flows_(flows), host_(host), stats_(stats), early_(flows.tsc_hz()) {
  for (const Link* link : links) {
    if (link->nic == nics_.size()) {
      nics_.push_back({.mac = link->mac.word(),
                       .v4 = {PlainDatagram<Family::ipv4>(link->mac), {links, link->nic, flows}},
                       .v6 = {PlainDatagram<Family::ipv6>(link->mac), {links, link->nic, flows}}});
    }
    for (const Prefix& prefix : link->addresses) {
      const std::uint16_t type =
          prefix.address.is_v4() ? RTE_BE16(RTE_ETHER_TYPE_IPV4) : RTE_BE16(RTE_ETHER_TYPE_IPV6);
      exits_.push_back({.mac_and_type = link->mac.word() | std::uint64_t{type} << 48,
                        .address = prefix.address.words(),
                        .neighbors = &link->neighbors,
                        .nic = link->nic});
    }
  }
}

// The usual packet, plain RTP of a known stream and source to a known neighbour, costs what is on
// this page. False, with nothing changed or counted, if it turns out to be another.
template <Family In, Family Out>
[[gnu::always_inline]] inline bool Relay::forward_usual(const Arrival& arrival, Tsc now,
                                                        std::span<TxBatch> tx) {
  Slot& slot = *arrival.slot;
  // No writer, and these flags: one comparison with the first word.
  constexpr std::uint32_t kAcross = In == Out ? 0 : kBridge;
  constexpr std::uint64_t kWanted = std::uint64_t{kSource | kDestination | kRtp | kAcross} << 32;
  constexpr std::uint64_t kUnwanted =
      std::uint64_t{kMark | kTreated | (kBridge & ~kAcross)} << 32 | OrdersLine::kStoring;
  const std::uint64_t head = slot.orders.head.load(kAcquire);
  OrderWords words;
  copy_words<In, Out>(slot.orders, head, words);
  if ((head & (kWanted | kUnwanted)) != kWanted) [[unlikely]]
    return false;
  if (slot.orders.head.load(kRelaxed) != head) [[unlikely]]
    return false;
  if (!is_from<In>(words, arrival.ip)) [[unlikely]]
    return false;
  const std::byte* const rtp = arrival.ip + ip_size(In) + kUdpSize;
  if (!is_usual(slot.seen, rtp)) [[unlikely]]
    return false;
  if constexpr (In == Family::ipv4 && Out == Family::ipv6) {
    if (arrival.length() > kLongestToIpv6 || arrival.packet->data_off < kIpv6Size - kIpv4Size ||
        lacks_udp_checksum(arrival.ip)) [[unlikely]] {
      return false;
    }
  }
  const Exit& exit = exits_[words.exit()];
  const NeighborWord next = exit.neighbors->word(words.hop());
  if (!words.reached_by(next)) [[unlikely]]
    return false;
  note_datagram(slot.seen, arrival.length() - udp_headers(In), now.ticks);
  note_next(slot.seen, rtp, arrival_of(now.ticks, words.clock_rate()));
  send<In, Out>(arrival, words, exit, next, tx);
  return true;
}

// Families that differ are told apart by the flags, after the comparison that all packets need.
[[gnu::noinline]] void Relay::forward_across(const Arrival& arrival, Tsc now, std::span<TxBatch> tx,
                                             Drops& drops) {
  const bool done = family_of(arrival.ip) == Family::ipv4
                        ? forward_usual<Family::ipv4, Family::ipv6>(arrival, now, tx)
                        : forward_usual<Family::ipv6, Family::ipv4>(arrival, now, tx);
  if (!done) forward_unusual(arrival, now, tx, drops);
}

template <Family In>
[[gnu::noinline]] void Relay::forward(std::span<const Arrival> arrivals, Tsc now,
                                      std::span<TxBatch> tx, Drops& drops) {
  for (const Arrival& arrival : arrivals) {
    if (!forward_usual<In, In>(arrival, now, tx)) [[unlikely]] {
      forward_across(arrival, now, tx, drops);
    }
  }
}

// A plain datagram in a frame that had to be padded to Ethernet's least size (a telephone-event,
// comfort noise): takes its turn among the others.
template <Family F>
[[gnu::noinline]] bool Relay::arrive_padded(const Entrance<F>& entrance, Arrival& arrival) {
  const std::span<const std::byte> frame = frame_of(arrival.packet);
  if (arrival.packet->nb_segs != 1 || frame.size() < udp_headers(F)) return false;
  const std::size_t length = kEtherSize + ip_size(F) + udp_length(arrival.ip + ip_size(F));
  if (length > frame.size() ||
      !entrance.plain.matches(frame.first(length), checksum_verified(arrival.packet)) ||
      !find_slot<F>(entrance.local.index(), arrival.ip, arrival.slot)) {
    return false;
  }
  trim<F>(arrival.packet, arrival.ip);
  return true;
}

// The first pass: sorts out the plain datagrams to us. Returns the end of `others`, which may be
// `packets` themselves.
template <Family F>
[[gnu::noinline]] rte_mbuf** Relay::arrive(const Entrance<F>& entrance,
                                           std::span<rte_mbuf* const> packets, Arrivals& arrivals,
                                           rte_mbuf** others) {
  const PlainDatagram<F> plain = entrance.plain;
  const auto local = entrance.local.index();
  Arrival* to = arrivals.end();
  for (rte_mbuf* packet : packets) {
    std::byte* const ip = rte_pktmbuf_mtod_offset(packet, std::byte*, kEtherSize);
    to->packet = packet;
    to->ip = ip;
    if (packet->nb_segs == 1 && plain.matches(frame_of(packet), checksum_verified(packet)) &&
        // NOLINTNEXTLINE(bugprone-branch-clone): the likely one is to be told apart
        find_slot<F>(local, ip, to->slot)) [[likely]] {
      ++to;
    } else if (packet->data_len <= RTE_ETHER_MIN_LEN && arrive_padded(entrance, *to)) {
      ++to;
    } else {
      *others++ = packet;
    }
  }
  arrivals.extend_to(to);
  return others;
}

// A packet that is no plain datagram to us: one that is too short for RTP, or the host's, or it
// ends here.
template <Family F>
std::optional<DropReason> Relay::arrive_closely(const Entrance<F>& entrance, rte_mbuf* packet,
                                                Arrivals& arrivals) {
  std::byte* const ip = rte_pktmbuf_mtod_offset(packet, std::byte*, kEtherSize);
  Slot* slot = nullptr;
  if (!find_slot<F>(entrance.local.index(), ip, slot)) return DropReason::not_local;
  trim<F>(packet, ip);
  arrivals.add({packet, slot, ip});
  return std::nullopt;
}

void Relay::look_closer(std::size_t nic, rte_mbuf* packet, Tsc now, TxBatch& tx, Arrivals& arrivals,
                        Drops& drops) {
  const Nic& own = nics_[nic];
  const FrameClass frame = packet->nb_segs == 1
                               ? classify(frame_of(packet), own.mac, checksum_verified(packet))
                               : DropReason::multi_segment;
  std::optional<DropReason> reason;
  switch (frame.kind) {
    case FrameKind::udp:
      reason = arrive_closely(own.v4, packet, arrivals);
      break;
    case FrameKind::udp6:
      reason = arrive_closely(own.v6, packet, arrivals);
      break;
    case FrameKind::drop:
      reason = frame.reason;
      break;
    default:
      reason = host_.receive(nic, frame.kind, *packet, now, tx);
  }
  if (reason) drops.add(packet, *reason);
}

void Relay::burst(std::size_t nic, std::span<rte_mbuf*> rx, Tsc now, std::span<TxBatch> tx) {
  std::uint64_t bytes = 0;
#pragma GCC unroll 8
  for (rte_mbuf* packet : rx) {
    rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
    bytes += packet->pkt_len;
  }
  Arrivals v4, v6, brief;
  std::array<rte_mbuf*, kBurst> others;  // NOLINT(cppcoreguidelines-pro-type-member-init): as above
  rte_mbuf** end = arrive(nics_[nic].v4, rx, v4, others.data());
  if (end != others.data()) end = arrive(nics_[nic].v6, {others.data(), end}, v6, others.data());
  Drops drops(stats_);
  for (rte_mbuf* packet : std::span(others.data(), end)) {
    look_closer(nic, packet, now, tx[nic], brief, drops);
  }

  const unsigned refused = drops.count();
  const std::uint64_t sent = bytes_in(tx);
  forward<Family::ipv4>(v4.all(), now, tx, drops);
  if (v6.size() != 0) forward<Family::ipv6>(v6.all(), now, tx, drops);
  for (const Arrival& arrival : brief.all()) forward_unusual(arrival, now, tx, drops);
  const std::size_t datagrams = v4.size() + v6.size() + brief.size();
  stats_.rx_packets.add(rx.size());
  stats_.rx_bytes.add(bytes);
  stats_.relayed.add(datagrams - (drops.count() - refused));
  stats_.relayed_bytes.add(bytes_in(tx) - sent);
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay.h"

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstring>
#include <utility>

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/checksum.h"
#include "dataplane/content.h"
#include "dataplane/frame.h"
#include "dataplane/rewrite.h"
#include "dataplane/stream.h"
#include "dataplane/treatment.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;

std::uint64_t bytes_in(std::span<const TxBatch> batches) {
  std::uint64_t sum = 0;
  for (const TxBatch& batch : batches) sum += batch.bytes;
  return sum;
}

}  // namespace

// A datagram that classify() found to be one, addressed to a slot. Its fields are read once, into
// locals: stores into the packet could otherwise alias them.
struct Relay::Arrival {
  rte_mbuf* packet;
  std::byte* ip;
  Slot* slot;
  std::uint32_t length;  // of the frame, without what Ethernet padded

  [[nodiscard]] std::span<std::byte> payload() const {
    const std::size_t before = ip_size(family_of(ip)) + kUdpSize;
    return {ip + before, length - kEtherSize - before};
  }
  [[nodiscard]] SlotIndex index() const { return slot->seen.self; }
  // All the orders of its slot; false if a writer was in the way.
  [[nodiscard]] bool read_orders(OrderWords& words) const {
    return read_consistent(slot->orders, [&](std::uint64_t head) {
      copy_words<Family::ipv6, Family::ipv6>(slot->orders, head, words);
    });
  }
  [[nodiscard]] bool is_heard(const OrderWords& words) const {
    if (!words.has(kSource)) return false;
    return family_of(ip) == Family::ipv4 ? is_from<Family::ipv4>(words, ip)
                                         : is_from<Family::ipv6>(words, ip);
  }
};

// The packets of a burst that end here.
class Relay::Drops {
 public:
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): packets_ is filled as far as it is read
  explicit Drops(WorkerStats& stats) : stats_(stats) {}
  Drops(const Drops&) = delete;
  Drops& operator=(const Drops&) = delete;
  ~Drops() { rte_pktmbuf_free_bulk(packets_.data(), count_); }
  [[gnu::noinline]] void add(rte_mbuf* packet, DropReason reason) {
    packets_[count_++] = packet;
    stats_.drop(reason);
  }
  // One that does not end here, but is not sent yet: freeing passes over it.
  void pass_over() { packets_[count_++] = nullptr; }
  [[nodiscard]] unsigned count() const { return count_; }

 private:
  WorkerStats& stats_;
  unsigned count_ = 0;
  std::array<rte_mbuf*, kBurst> packets_;
};

Relay::Relay(FlowTable& flows, std::span<Link* const> links, Host& host, WorkerStats& stats)
    : flows_(flows), host_(host), stats_(stats), early_(flows.tsc_hz()) {
  for (const Link* link : links) {
    const std::uint64_t mac = link->mac.word();
    if (link->nic == macs_.size()) {
      macs_.push_back(mac);
      local4_.emplace_back(links, link->nic, flows);
      local6_.emplace_back(links, link->nic, flows);
    }
    for (const Prefix& prefix : link->addresses) {
      const std::uint16_t type =
          prefix.address.is_v4() ? RTE_BE16(RTE_ETHER_TYPE_IPV4) : RTE_BE16(RTE_ETHER_TYPE_IPV6);
      exits_.push_back({.mac_and_type = mac | std::uint64_t{type} << 48,
                        .address = prefix.address.words(),
                        .neighbors = &link->neighbors,
                        .nic = link->nic});
    }
  }
}

// ---- one packet ------------------------------------------------------------------------------

// A packet of a source that is not heard: it latches, or the reason why not. The source is looked
// at before the content: what strangers send is nobody's malformed packet.
std::optional<DropReason> Relay::stranger(const Arrival& arrival, const Datagram& datagram,
                                          std::uint32_t flags, Tsc now) {
  if (const auto reason = flows_.may_latch(arrival.index(), datagram.source)) return reason;
  const auto content = examine(datagram.payload, flags);
  if (!content) return content.error();
  return flows_.latch(arrival.index(), datagram.source, content->evidence(), now);
}

// The statistics of what is admitted.
void Relay::note(const Arrival& arrival, const Content& content, const OrderWords& words, Tsc now) {
  SeenLine& seen = arrival.slot->seen;
  Record& record = flows_.record(arrival.index());
  note_datagram(seen, arrival.payload().size(), now.ticks);
  if (content.kind == Evidence::Kind::rtp) {
    if (!note_usual(seen, content.rtp, now.ticks, words.clock_rate())) {
      millrace::note_unusual(seen, record, content.rtp, now.ticks, words.clock_rate());
    }
    return;
  }
  record.not_received.fetch_add(1, kRelaxed);
  if (content.kind == Evidence::Kind::stun) record.stun.fetch_add(1, kRelaxed);
  if (content.kind != Evidence::Kind::rtcp) return;
  // Remembered as what a rebound source must show (latch.cc).
  if (words.has(kRtcp)) seen.sender.store(kKnownSender | content.ssrc, kRelaxed);
  if (words.has(kPeer) && !words.has(kCipher)) {
    flows_.note_rtcp(arrival.index(), words.peer(), arrival.payload(), words.clock_rate(), now);
  }
}

// Rewrites the packet and puts it where it leaves.
template <Family In, Family Out>
[[gnu::always_inline]] inline void Relay::send(const Arrival& arrival, const OrderWords& words,
                                               const Exit& exit, NeighborWord next,
                                               std::span<TxBatch> tx) {
  std::byte* const ip = rewrite<In, Out>(arrival.ip, words, exit.address);
  store(ip - kEtherSize, next.raw());  // the tag that follows the MAC is overwritten
  store(ip - kEtherSize + 6, exit.mac_and_type);

  rte_mbuf* const packet = arrival.packet;
  const auto length = static_cast<std::uint32_t>(arrival.length + ip_size(Out) - ip_size(In));
  packet->pkt_len = length;
  packet->data_len = static_cast<std::uint16_t>(length);
  if constexpr (In != Out) {
    packet->data_off = static_cast<std::uint16_t>(packet->data_off + ip_size(In) - ip_size(Out));
  }
  // Marks of the receiving NIC do not concern the sending one.
  packet->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
  tx[exit.nic].push(packet, length);
}

// The same for any family on either side, or why it cannot be sent.
std::optional<DropReason> Relay::send_any(const Arrival& arrival, const OrderWords& words,
                                          NeighborWord next, std::span<TxBatch> tx) {
  const Exit& exit = exits_[words.peer().value >> 16];
  const bool from_v4 = family_of(arrival.ip) == Family::ipv4;
  if (words.has(kMark)) mark(arrival.ip, words.flags >> kDscpShift);
  if (!words.has(kBridge)) {
    if (from_v4) {
      send<Family::ipv4, Family::ipv4>(arrival, words, exit, next, tx);
    } else {
      send<Family::ipv6, Family::ipv6>(arrival, words, exit, next, tx);
    }
    return std::nullopt;
  }
  if (!from_v4) {
    send<Family::ipv6, Family::ipv4>(arrival, words, exit, next, tx);
    return std::nullopt;
  }
  if (arrival.length > kLongestToIpv6 || arrival.packet->data_off < kIpv6Size - kIpv4Size) {
    return DropReason::mtu_exceeded;
  }
  if (lacks_udp_checksum(arrival.ip)) add_udp_checksum(arrival.ip);
  send<Family::ipv4, Family::ipv6>(arrival, words, exit, next, tx);
  return std::nullopt;
}

// Any packet: latching, other protocols, treatment. With what it is to be sent, or why not.
std::expected<NeighborWord, DropReason> Relay::admit(const Arrival& arrival, Tsc now,
                                                     OrderWords& words) {
  const Datagram datagram{source_of(arrival.ip), arrival.payload()};
  if (!arrival.read_orders(words)) return std::unexpected(DropReason::slot_busy);
  if (words.has(kSplitOff)) return std::unexpected(DropReason::port_inactive);
  if (!arrival.is_heard(words)) {
    if (const auto reason = stranger(arrival, datagram, words.flags, now)) {
      return std::unexpected(*reason);
    }
    if (!arrival.read_orders(words)) return std::unexpected(DropReason::slot_busy);
    if (!arrival.is_heard(words)) return std::unexpected(DropReason::latch_contended);
  }
  const auto content = examine(datagram.payload, words.flags);
  if (!content) return std::unexpected(content.error());
  note(arrival, *content, words, now);
  if (words.has(kTreated)) {
    const Record& record = flows_.record(arrival.index());
    if (const auto reason = treat(arrival.payload(), *content, words.flags, record)) {
      return std::unexpected(*reason);
    }
  }
  const bool split = words.has(kSplit) && content->kind == Evidence::Kind::rtcp;
  return split ? split_off(arrival, words, now) : next_hop(arrival, words, now);
}

// Multiplexed RTCP, to who has it apart: by the orders that the port of RTCP keeps for it.
std::expected<NeighborWord, DropReason> Relay::split_off(const Arrival& arrival, OrderWords& words,
                                                         Tsc now) {
  Arrival rtcp = arrival;
  rtcp.slot = &flows_.slot(arrival.index().of_rtcp());
  if (!rtcp.read_orders(words)) return std::unexpected(DropReason::slot_busy);
  if (!words.has(kSplitOff)) return std::unexpected(DropReason::no_destination);
  if (!rtcp.is_heard(words)) return std::unexpected(DropReason::latch_contended);
  return next_hop(rtcp, words, now);
}

[[gnu::noinline]] void Relay::forward_unusual(const Arrival& arrival, Tsc now,
                                              std::span<TxBatch> tx, Drops& drops) {
  OrderWords words;
  const auto next = admit(arrival, now, words);
  const auto reason = next ? send_any(arrival, words, *next, tx) : next.error();
  if (!reason) return;
  if (EarlyStun::waits_for(*reason) && keep(arrival, *reason, now)) {
    drops.pass_over();
  } else {
    flows_.record(arrival.index()).drop(*reason);
    drops.add(arrival.packet, *reason);
  }
}

// Precondition: it was admitted.
bool Relay::keep(const Arrival& arrival, DropReason reason, Tsc now) {
  if (!is_stun(arrival.payload())) return false;
  return early_.keep({arrival.packet, arrival.index(), now, arrival.length, reason});
}

// Sends a packet that was kept, or tells why it cannot be sent (yet). Signalling may have given the
// port to others meanwhile: its source must be who is heard there now.
std::optional<DropReason> Relay::send_late(const EarlyStun::Kept& kept, Tsc now,
                                           std::span<TxBatch> tx) {
  std::byte* const ip = rte_pktmbuf_mtod_offset(kept.packet, std::byte*, kEtherSize);
  const Arrival arrival{kept.packet, ip, &flows_.slot(kept.slot), kept.length};
  OrderWords words;
  if (!arrival.read_orders(words)) return kept.reason;
  if (words.has(kSplitOff)) return DropReason::port_inactive;
  if (!arrival.is_heard(words)) return DropReason::wrong_source;
  const auto next = next_hop(arrival, words, now);
  return next ? send_any(arrival, words, *next, tx) : next.error();
}

void Relay::send_kept(Tsc now, std::span<TxBatch> tx) {
  static_assert(EarlyStun::kCapacity <= TxBatch::kCapacity);
  const std::uint64_t before = bytes_in(tx);
  early_.revisit(now, [&](EarlyStun::Kept& kept) {
    const auto reason = send_late(kept, now, tx);
    if (!reason) {
      stats_.relayed.add(1);
      return false;
    }
    // It was admitted, and is not counted among strangers now.
    if (*reason != DropReason::wrong_source) kept.reason = *reason;
    if (EarlyStun::waits_for(*reason) && !early_.expired(kept, now)) return true;
    flows_.record(kept.slot).drop(kept.reason);
    stats_.drop(kept.reason);
    rte_pktmbuf_free(kept.packet);
    return false;
  });
  stats_.relayed_bytes.add(bytes_in(tx) - before);
}

Relay::~Relay() {
  for (const EarlyStun::Kept& kept : early_.all()) rte_pktmbuf_free(kept.packet);
}

std::expected<NeighborWord, DropReason> Relay::next_hop(const Arrival& arrival,
                                                        const OrderWords& words, Tsc now) {
  if (words.has(kHeld)) return std::unexpected(DropReason::held);
  if (!words.has(kDestination)) return std::unexpected(DropReason::no_destination);
  const Exit& exit = exits_[words.peer().value >> 16];
  const NeighborWord word = exit.neighbors->word(words.hop().index);
  if (word.matches(words.hop())) return word;
  return flows_.rehop(arrival.index(), now);
}

[[gnu::noinline]] void Relay::note_unusual(Slot& slot, const std::byte* rtp, Tsc now,
                                           std::uint32_t clock_rate) {
  millrace::note_unusual(slot.seen, flows_.record(slot.seen.self), RtpFields::read(rtp), now.ticks,
                         clock_rate);
}

// The usual packet, plain RTP of a known source to a known neighbour, costs what is on this page.
// False, with nothing changed or counted, if it turns out to be another.
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
  const std::byte* const payload = arrival.ip + ip_size(In) + kUdpSize;
  if (arrival.length < udp_headers(In) + sizeof(RtpHeader) || payload[0] != std::byte{0x80} ||
      is_rtcp_type(payload[1])) [[unlikely]] {
    return false;
  }
  if constexpr (In == Family::ipv4 && Out == Family::ipv6) {
    if (arrival.length > kLongestToIpv6 || arrival.packet->data_off < kIpv6Size - kIpv4Size ||
        lacks_udp_checksum(arrival.ip)) [[unlikely]] {
      return false;
    }
  }
  const Exit& exit = exits_[words.peer().value >> 16];
  const NeighborWord next = exit.neighbors->word(words.hop().index);
  if (!next.matches(words.hop())) [[unlikely]] {
    return false;
  }
  send<In, Out>(arrival, words, exit, next, tx);
  note_datagram(slot.seen, arrival.length - udp_headers(In), now.ticks);
  if (!note_usual(slot.seen, RtpFields::read(payload), now.ticks, words.clock_rate()))
      [[unlikely]] {
    note_unusual(slot, payload, now, words.clock_rate());
  }
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
[[gnu::always_inline]] inline void Relay::forward(const Arrival& arrival, Tsc now,
                                                  std::span<TxBatch> tx, Drops& drops) {
  if (forward_usual<In, In>(arrival, now, tx)) [[likely]]
    return;
  forward_across(arrival, now, tx, drops);
}

[[gnu::always_inline]] inline FrameClass Relay::classify_packet(const rte_mbuf* packet,
                                                                std::uint64_t own_mac) {
  if (packet->nb_segs != 1) [[unlikely]]
    return DropReason::multi_segment;
  const bool verified =
      (packet->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  return classify({rte_pktmbuf_mtod(packet, const std::byte*), packet->data_len}, own_mac,
                  verified);
}

// Not a datagram to one of the NIC's addresses: the host's, or dropped.
void Relay::other(std::size_t nic, rte_mbuf* packet, Tsc now, TxBatch& tx, Drops& drops) {
  const FrameClass frame = classify_packet(packet, macs_[nic]);
  std::optional<DropReason> reason;
  switch (frame.kind) {
    case FrameKind::udp:
    case FrameKind::udp6:
      reason = DropReason::not_local;
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
  // Filled as far as they are read: zeroing them would cost each burst 1.3 KB of stores.
  // Arrivals by IPv4 from the front on, those by IPv6 from the back.
  std::array<Arrival, kBurst> arrivals;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::array<rte_mbuf*, kBurst> others;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  Arrival* v4_end = arrivals.data();
  Arrival* v6_begin = arrivals.data() + arrivals.size();
  rte_mbuf** others_end = others.data();
  std::uint64_t bytes = 0;
  const std::uint64_t mac = macs_[nic];
  const auto local4 = local4_[nic].index();
  const auto local6 = local6_[nic].index();
  const auto arrives6 = [&local6](rte_mbuf* packet, Arrival*& begin) {
    std::byte* const ip = rte_pktmbuf_mtod_offset(packet, std::byte*, kEtherSize);
    const auto* const found = local6.find(load<AddressKeyV6>(ip + 24));
    if (found == nullptr) return false;
    Slot* const slot = found->slots + load_be16(ip + kIpv6Size + 2);
    rte_prefetch0(&slot->orders);
    rte_prefetch0(&slot->seen);
    *--begin = {packet, ip, slot, load_be16(ip + 4) + std::uint32_t{kEtherSize + kIpv6Size}};
    return true;
  };

#pragma GCC unroll 8
  for (rte_mbuf* packet : rx) rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
  for (rte_mbuf* packet : rx) {
    bytes += packet->pkt_len;
    *others_end = packet;
    const FrameKind kind = classify_packet(packet, mac).kind;
    if (kind != FrameKind::udp) [[unlikely]] {
      if (kind != FrameKind::udp6 || !arrives6(packet, v6_begin)) ++others_end;
      continue;
    }
    std::byte* const ip = rte_pktmbuf_mtod_offset(packet, std::byte*, kEtherSize);
    const auto* const found = local4.find(load<AddressKeyV4>(ip + 16));
    if (found == nullptr) [[unlikely]] {
      ++others_end;
      continue;
    }
    Slot* const slot = found->slots + load_be16(ip + kIpv4Size + 2);
    rte_prefetch0(&slot->orders);
    rte_prefetch0(&slot->seen);
    *v4_end++ = {packet, ip, slot, load_be16(ip + 2) + std::uint32_t{kEtherSize}};
  }

  Drops drops(stats_);
  for (rte_mbuf** packet = others.data(); packet != others_end; ++packet) {
    other(nic, *packet, now, tx[nic], drops);
  }
  const unsigned refused = drops.count();
  const std::uint64_t sent = bytes_in(tx);
  for (const Arrival* arrival = arrivals.data(); arrival != v4_end; ++arrival) {
    forward<Family::ipv4>(*arrival, now, tx, drops);
  }
  for (const Arrival* arrival = arrivals.data() + arrivals.size(); arrival-- != v6_begin;) {
    forward<Family::ipv6>(*arrival, now, tx, drops);
  }
  const auto datagrams = rx.size() - static_cast<std::size_t>(others_end - others.data());
  stats_.rx_packets.add(rx.size());
  stats_.rx_bytes.add(bytes);
  stats_.relayed.add(datagrams - (drops.count() - refused));
  stats_.relayed_bytes.add(bytes_in(tx) - sent);
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/checksum.h"
#include "dataplane/content.h"
#include "dataplane/frame.h"
#include "dataplane/stream.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;

// The words of a slot's orders that an IPv4 packet needs, as they are stored.
struct OrdersV4 {
  std::uint32_t flags;
  std::uint64_t source, destination, ports, next, rewrite;

  [[nodiscard]] bool has(std::uint32_t all) const { return (flags & all) == all; }
  [[nodiscard]] SlotIndex peer() const { return SlotIndex(static_cast<std::uint32_t>(next)); }
  [[nodiscard]] NextHop hop() const {
    return {static_cast<std::uint16_t>(next >> 32), static_cast<std::uint16_t>(next >> 48)};
  }
  [[nodiscard]] std::uint32_t destination_raw() const {
    return static_cast<std::uint32_t>(destination >> 32);
  }
};

bool read_v4(const OrdersLine& line, OrdersV4& out) {
  return read_consistent(line, [&](std::uint64_t head) {
    out.flags = static_cast<std::uint32_t>(head >> 32);
    out.source = line.source[1].load(kAcquire);
    out.destination = line.destination[1].load(kAcquire);
    out.ports = line.ports.load(kAcquire);
    out.next = line.next.load(kAcquire);
    out.rewrite = line.rewrite.load(kAcquire);
  });
}

template <typename T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// The second word of a mapped IPv4 address (net.h).
static_assert(std::endian::native == std::endian::little);
constexpr std::uint64_t mapped(std::uint32_t v4_raw) {
  return std::uint64_t{v4_raw} << 32 | 0xffff0000;
}

bool is_heard(const OrdersV4& orders, const std::byte* ip) {
  return orders.has(kActive | kSource) && orders.source == mapped(load<std::uint32_t>(ip + 12)) &&
         static_cast<std::uint16_t>(orders.ports >> 32) == load<std::uint16_t>(ip + kIpv4Size);
}

// IPv4 and UDP: addresses, ports, TTL, DSCP, and the checksums by what changed.
void rewrite(std::byte* ip, const OrdersV4& orders, std::uint32_t own_v4_raw) {
  std::byte* const udp = ip + kIpv4Size;
  auto ip_delta = std::uint32_t{static_cast<std::uint16_t>(orders.rewrite >> 32)};
  if (orders.has(kMark)) [[unlikely]] {
    // Six bits of DSCP; the sender's two bits of ECN stay (RFC 3168).
    const auto before = load<std::uint16_t>(ip);
    const std::uint32_t tos = orders.flags >> kDscpShift << 2 | (before >> 8 & 3);
    const auto after = static_cast<std::uint16_t>((before & 0xff) | tos << 8);
    store(ip, after);
    ip_delta += word_delta(before, after);
  }
  ip[8] = static_cast<std::byte>(std::to_integer<unsigned>(ip[8]) - 1);
  store(ip + 10, updated_checksum(load<std::uint16_t>(ip + 10), ip_delta));
  store(ip + 12, own_v4_raw);
  store(ip + 16, orders.destination_raw());
  store(udp, static_cast<std::uint32_t>(orders.ports));
  store(udp + 6, updated_udp_checksum(load<std::uint16_t>(udp + 6),
                                      static_cast<std::uint16_t>(orders.rewrite >> 48)));
}

void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) {
  counter.store(counter.load(kRelaxed) + n, kRelaxed);
}

}  // namespace

// A datagram that classify() found to be one, addressed to a slot.
struct Relay::Arrival {
  rte_mbuf* packet;
  std::byte* ip;
  Slot* slot;
  SlotIndex index;

  [[nodiscard]] std::size_t ip_length() const {
    return rte_be_to_cpu_16(load<std::uint16_t>(ip + 2));
  }
  [[nodiscard]] Endpoint source() const {
    return {IpAddress::v4(Be32::from_raw(load<std::uint32_t>(ip + 12))),
            UdpPort(Be16::from_raw(load<std::uint16_t>(ip + kIpv4Size)).host())};
  }
  [[nodiscard]] std::span<const std::byte> payload() const {
    return {ip + kIpv4Size + kUdpSize, ip_length() - kIpv4Size - kUdpSize};
  }
};

// ---- who is addressed ------------------------------------------------------------------------

Relay::LocalAddresses::LocalAddresses(const Link& link, const FlowTable& flows) {
  const std::size_t size = std::bit_ceil(2 * link.addresses.size() + 1);
  table_.resize(size);
  shift_ = 32 - static_cast<unsigned>(std::countr_zero(size));
  for (std::size_t i = 0; i < link.addresses.size(); ++i) {
    if (!link.addresses[i].address.is_v4()) continue;
    const auto id = static_cast<MediaAddressId>(std::to_underlying(link.first) + i);
    const std::uint32_t v4_raw = link.addresses[i].address.as_v4().raw();
    std::size_t at = v4_raw * kHash >> shift_;
    while (table_[at].v4_raw != 0) at = (at + 1) % size;
    table_[at] = {v4_raw, SlotIndex(LocalPort{id, UdpPort(0)}), flows.slots(id)};
  }
}

inline const Relay::LocalAddresses::Found* Relay::LocalAddresses::find(std::uint32_t v4_raw) const {
  for (std::size_t at = v4_raw * kHash >> shift_;; at = (at + 1) & (table_.size() - 1)) {
    const Found& found = table_[at];
    if (found.v4_raw == v4_raw) return &found;
    if (found.v4_raw == 0) return nullptr;
  }
}

Relay::Relay(FlowTable& flows, std::span<Link* const> links, Host& host, WorkerStats& stats)
    : flows_(flows), host_(host), stats_(stats) {
  for (std::size_t i = 0; i < links.size(); ++i) {
    Link& link = *links[i];
    const std::uint64_t mac = mac_word(link.mac);
    macs_.push_back(mac);
    local_.emplace_back(link, flows);
    for (const Prefix& prefix : link.addresses) {
      exits_.push_back({.mac_head = mac << 48,
                        .mac_tail = static_cast<std::uint32_t>(mac >> 16),
                        .v4_raw = prefix.address.is_v4() ? prefix.address.as_v4().raw() : 0,
                        .neighbors = &link.neighbors,
                        .link = i});
    }
  }
}

// ---- one packet ------------------------------------------------------------------------------

// A packet of a source that is not heard: it latches, or the reason why not. The source is looked
// at before the content: what strangers send is nobody's malformed packet.
std::optional<DropReason> Relay::stranger(const Arrival& arrival, std::uint32_t flags, Tsc now) {
  Record& record = flows_.record(arrival.index);
  const Endpoint source = arrival.source();
  std::optional<DropReason> reason = flows_.may_latch(arrival.index, source);
  if (reason == DropReason::port_inactive) return reason;
  if (!reason) {
    const auto content = examine(arrival.payload(), flags);
    if (!content) {
      record.malformed.fetch_add(1, kRelaxed);
      return content.error();
    }
    reason = flows_.latch(arrival.index, source, content->evidence(), now);
  }
  if (reason) record.refused.fetch_add(1, kRelaxed);
  return reason;
}

// What is admitted but not plain RTP.
std::optional<DropReason> Relay::note_other(const Arrival& arrival, std::uint32_t flags, Tsc now,
                                            std::uint32_t clock_rate) {
  SeenLine& seen = arrival.slot->seen;
  Record& record = flows_.record(arrival.index);
  const auto content = examine(arrival.payload(), flags);
  if (!content) {
    record.malformed.fetch_add(1, kRelaxed);
    return content.error();
  }
  if (content->kind == Evidence::Kind::rtp) {
    note_rtp(seen, record, content->rtp, arrival_of(now.ticks, clock_rate));
    return std::nullopt;
  }
  record.not_received.fetch_add(1, kRelaxed);
  if (content->kind == Evidence::Kind::rtcp && (flags & kRtcp) != 0) {
    // Remembered as what a rebound source must show (latch.cc).
    seen.stream.store(content->ssrc, kRelaxed);
    seen.started.store(1, kRelaxed);
  }
  return std::nullopt;
}

DropReason Relay::not_sent(const Arrival& arrival, DropReason reason) {
  flows_.record(arrival.index).not_sent.fetch_add(1, kRelaxed);
  return reason;
}

// Admits, rewrites and sends, or says why not.
inline std::optional<DropReason> Relay::forward(const Arrival& arrival, Tsc now,
                                                std::span<TxBatch> tx) {
  OrdersV4 orders;
  if (!read_v4(arrival.slot->orders, orders)) return DropReason::slot_busy;
  if (!is_heard(orders, arrival.ip)) [[unlikely]] {
    if (const auto reason = stranger(arrival, orders.flags, now)) return reason;
    if (!read_v4(arrival.slot->orders, orders)) return DropReason::slot_busy;
    if (!is_heard(orders, arrival.ip)) return DropReason::latch_contended;
  }

  SeenLine& seen = arrival.slot->seen;
  const std::span<const std::byte> payload = arrival.payload();
  const auto clock_rate = static_cast<std::uint32_t>(orders.rewrite);
  if (orders.has(kRtp) && payload.size() >= sizeof(RtpHeader) && payload[0] == std::byte{0x80} &&
      !is_rtcp_type(payload[1])) [[likely]] {
    note_rtp(seen, flows_.record(arrival.index), load<RtpHeader>(payload.data()),
             arrival_of(now.ticks, clock_rate));
  } else if (const auto reason = note_other(arrival, orders.flags, now, clock_rate)) {
    return reason;
  }
  bump(seen.packets);
  bump(seen.bytes, payload.size());
  seen.last.store(now.ticks, kRelaxed);

  if (!orders.has(kDestination)) [[unlikely]] {
    return not_sent(arrival, orders.has(kHeld) ? DropReason::held : DropReason::no_destination);
  }
  const Exit& exit = exits_[orders.peer().value >> 16];
  NeighborWord next = exit.neighbors->word(orders.hop().index);
  if (!next.matches(orders.hop())) [[unlikely]] {
    const auto found = flows_.rehop(arrival.index, now);
    if (!found) return not_sent(arrival, found.error());
    next = *found;
  }
  std::byte* const ether = arrival.ip - kEtherSize;
  store(ether, (next.raw() & kMacMask) | exit.mac_head);
  store(ether + 8, exit.mac_tail);
  rewrite(arrival.ip, orders, exit.v4_raw);

  // What Ethernet padded stays behind; marks of the receiving NIC do not concern the sending one.
  const std::size_t length = kEtherSize + arrival.ip_length();
  arrival.packet->pkt_len = static_cast<std::uint32_t>(length);
  arrival.packet->data_len = static_cast<std::uint16_t>(length);
  arrival.packet->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
  tx[exit.link].push(arrival.packet, length);
  return std::nullopt;
}

// ---- one burst -------------------------------------------------------------------------------

void Relay::burst(std::size_t link, std::span<rte_mbuf*> rx, Tsc now, std::span<TxBatch> tx) {
  std::array<Arrival, kBurst> arrivals;
  std::array<rte_mbuf*, kBurst> dropped;
  std::size_t arrival_count = 0;
  unsigned dropped_count = 0;
  std::uint64_t bytes = 0;
  const auto drop = [&](rte_mbuf* packet, DropReason reason) {
    dropped[dropped_count++] = packet;
    stats_.drop(reason);
  };

  for (rte_mbuf* packet : rx) rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
  const std::uint64_t mac = macs_[link];
  const LocalAddresses& local = local_[link];
  for (rte_mbuf* packet : rx) {
    bytes += packet->pkt_len;
    if (packet->nb_segs != 1) [[unlikely]] {
      drop(packet, DropReason::multi_segment);
      continue;
    }
    auto* const data = rte_pktmbuf_mtod(packet, std::byte*);
    const bool verified =
        (packet->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    const FrameClass frame = classify({data, packet->data_len}, mac, verified);
    if (frame.kind != FrameKind::udp) [[unlikely]] {
      const std::optional<DropReason> reason = frame.kind == FrameKind::drop
                                                   ? frame.reason
                                                   : host_.receive(link, *packet, now, tx[link]);
      if (reason) drop(packet, *reason);
      continue;
    }
    std::byte* const ip = data + kEtherSize;
    const auto* const found = local.find(load<std::uint32_t>(ip + 16));
    if (found == nullptr) [[unlikely]] {
      drop(packet, DropReason::not_local);
      continue;
    }
    const std::uint16_t port = rte_be_to_cpu_16(load<std::uint16_t>(ip + kIpv4Size + 2));
    Slot* const slot = found->slots + port;
    rte_prefetch0(&slot->orders);
    rte_prefetch0(&slot->seen);
    arrivals[arrival_count++] = {packet, ip, slot, SlotIndex(found->first.value + port)};
  }

  std::uint64_t relayed = 0;
  for (const Arrival& arrival : std::span(arrivals).first(arrival_count)) {
    if (const auto reason = forward(arrival, now, tx)) {
      drop(arrival.packet, *reason);
    } else {
      ++relayed;
    }
  }
  rte_pktmbuf_free_bulk(dropped.data(), dropped_count);
  stats_.rx_packets.add(rx.size());
  stats_.rx_bytes.add(bytes);
  stats_.relayed.add(relayed);
}

}  // namespace millrace

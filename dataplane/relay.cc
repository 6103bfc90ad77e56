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
#include "dataplane/treatment.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;

}  // namespace

// The words of a slot's orders that an IPv4 packet needs, as they are stored.
struct OrdersV4 {
  std::uint32_t flags;
  std::uint64_t source, destination, ports, next, rewrite;

  [[nodiscard]] bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] SlotIndex peer() const { return SlotIndex(static_cast<std::uint32_t>(next)); }
  [[nodiscard]] NextHop hop() const {
    return {static_cast<std::uint16_t>(next >> 32), static_cast<std::uint16_t>(next >> 48)};
  }
  [[nodiscard]] std::uint32_t destination_raw() const {
    return static_cast<std::uint32_t>(destination >> 32);
  }
  [[nodiscard]] std::uint32_t clock_rate() const { return static_cast<std::uint32_t>(rewrite); }
};

namespace {

[[gnu::always_inline]] inline void copy_v4(const OrdersLine& line, std::uint64_t head,
                                           OrdersV4& out) {
  out.flags = static_cast<std::uint32_t>(head >> 32);
  out.source = line.source[1].load(kAcquire);
  out.destination = line.destination[1].load(kAcquire);
  out.ports = line.ports.load(kAcquire);
  out.next = line.next.load(kAcquire);
  out.rewrite = line.rewrite.load(kAcquire);
}

template <typename T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// A slot of an IPv4 address holds IPv4 addresses only (FlowTable::is_reachable), whose last four
// bytes are the upper half of the second word.
static_assert(std::endian::native == std::endian::little);

[[gnu::always_inline]] inline bool is_from(const OrdersV4& orders, const std::byte* ip) {
  return static_cast<std::uint32_t>(orders.source >> 32) == load<std::uint32_t>(ip + 12) &&
         static_cast<std::uint16_t>(orders.ports >> 32) == load<std::uint16_t>(ip + kIpv4Size);
}

// Six bits of DSCP; the sender's two bits of ECN stay (RFC 3168).
void mark(std::byte* ip, std::uint32_t dscp) {
  const auto before = load<std::uint16_t>(ip);
  const std::uint32_t service = dscp << 2 | (before >> 8 & 3);
  const auto after = static_cast<std::uint16_t>((before & 0xff) | service << 8);
  store(ip, after);
  store(ip + 10, updated_checksum(load<std::uint16_t>(ip + 10), fold(word_delta(before, after))));
}

// IPv4 and UDP: addresses, ports, TTL, and the checksums by what changed.
[[gnu::always_inline]] inline void rewrite(std::byte* ip, const OrdersV4& orders,
                                           std::uint32_t own_v4_raw) {
  std::byte* const udp = ip + kIpv4Size;
  store(ip + 12, own_v4_raw);
  store(ip + 16, orders.destination_raw());
  store(udp, static_cast<std::uint32_t>(orders.ports));
  ip[8] = static_cast<std::byte>(std::to_integer<unsigned>(ip[8]) - 1);
  store(ip + 10, updated_checksum(load<std::uint16_t>(ip + 10),
                                  static_cast<std::uint16_t>(orders.rewrite >> 32)));
  store(udp + 6, updated_udp_checksum(load<std::uint16_t>(udp + 6),
                                      static_cast<std::uint16_t>(orders.rewrite >> 48)));
}

Endpoint source_of(const std::byte* ip) {
  return {IpAddress::v4(Be32::from_raw(load<std::uint32_t>(ip + 12))),
          UdpPort(Be16::from_raw(load<std::uint16_t>(ip + kIpv4Size)).host())};
}

void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) {
  counter.store(counter.load(kRelaxed) + n, kRelaxed);
}

[[gnu::always_inline]] inline void count(SeenLine& seen, std::size_t bytes, Tsc now) {
  bump(seen.packets);
  bump(seen.bytes, bytes);
  seen.last.store(now.ticks, kRelaxed);
}

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

  [[nodiscard]] std::span<const std::byte> payload() const {
    return {ip + kIpv4Size + kUdpSize, length - kUdpHeaders};
  }
  [[nodiscard]] SlotIndex index() const { return slot->seen.self; }
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
  [[nodiscard]] unsigned count() const { return count_; }

 private:
  WorkerStats& stats_;
  unsigned count_ = 0;
  std::array<rte_mbuf*, kBurst> packets_;
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
    table_[at] = {v4_raw, flows.slots(id)};
  }
}

[[gnu::always_inline]] inline auto Relay::LocalAddresses::Index::find(std::uint32_t v4_raw) const
    -> const Found* {
  for (std::size_t at = v4_raw * kHash >> shift;; at = (at + 1) & mask) {
    const Found& found = table[at];
    if (found.v4_raw == v4_raw) [[likely]]
      return &found;
    if (found.v4_raw == 0) return nullptr;
  }
}

Relay::Relay(FlowTable& flows, std::span<Link* const> links, Host& host, WorkerStats& stats)
    : flows_(flows), host_(host), stats_(stats) {
  for (std::size_t i = 0; i < links.size(); ++i) {
    const Link& link = *links[i];
    const std::uint64_t mac = link.mac.word();
    macs_.push_back(mac);
    local_.emplace_back(link, flows);
    for (const Prefix& prefix : link.addresses) {
      exits_.push_back({.mac_and_type = mac | std::uint64_t{RTE_BE16(RTE_ETHER_TYPE_IPV4)} << 48,
                        .v4_raw = prefix.address.is_v4() ? prefix.address.as_v4().raw() : 0,
                        .neighbors = &link.neighbors,
                        .link = i});
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
void Relay::note(const Arrival& arrival, const Content& content, const OrdersV4& orders, Tsc now) {
  SeenLine& seen = arrival.slot->seen;
  Record& record = flows_.record(arrival.index());
  count(seen, arrival.payload().size(), now);
  if (content.kind == Evidence::Kind::rtp) {
    if (!note_usual(seen, content.rtp, now.ticks, orders.clock_rate())) {
      millrace::note_unusual(seen, record, content.rtp, now.ticks, orders.clock_rate());
    }
    return;
  }
  record.not_received.fetch_add(1, kRelaxed);
  if (content.kind == Evidence::Kind::stun) record.stun.fetch_add(1, kRelaxed);
  if (content.kind != Evidence::Kind::rtcp) return;
  // Remembered as what a rebound source must show (latch.cc).
  if (orders.has(kRtcp)) seen.sender.store(kKnownSender | content.ssrc, kRelaxed);
  if (orders.has(kPeer) && !orders.has(kCipher)) {
    flows_.note_rtcp(arrival.index(), orders.peer(), arrival.payload(), orders.clock_rate(), now);
  }
}

// Rewrites the packet and puts it where it leaves.
[[gnu::always_inline]] inline void Relay::send(const Arrival& arrival, const OrdersV4& orders,
                                               const Exit& exit, NeighborWord next,
                                               std::span<TxBatch> tx) {
  std::byte* const ip = arrival.ip;
  store(ip - kEtherSize, next.raw());  // the tag that follows the MAC is overwritten
  store(ip - kEtherSize + 6, exit.mac_and_type);
  rewrite(ip, orders, exit.v4_raw);

  rte_mbuf* const packet = arrival.packet;
  packet->pkt_len = arrival.length;
  packet->data_len = static_cast<std::uint16_t>(arrival.length);
  // Marks of the receiving NIC do not concern the sending one.
  packet->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
  tx[exit.link].push(packet, arrival.length);
}

// Any packet: latching, other protocols, treatment. With what it is to be sent, or why not.
std::expected<NeighborWord, DropReason> Relay::admit(const Arrival& arrival, Tsc now,
                                                     OrdersV4& orders) {
  const Datagram datagram{source_of(arrival.ip), arrival.payload()};
  const auto read = [&] {
    return read_consistent(arrival.slot->orders, [&](std::uint64_t head) {
      copy_v4(arrival.slot->orders, head, orders);
    });
  };
  const auto heard = [&] { return orders.has(kSource) && is_from(orders, arrival.ip); };
  if (!read()) return std::unexpected(DropReason::slot_busy);
  if (!heard()) {
    if (const auto reason = stranger(arrival, datagram, orders.flags, now)) {
      return std::unexpected(*reason);
    }
    if (!read()) return std::unexpected(DropReason::slot_busy);
    if (!heard()) return std::unexpected(DropReason::latch_contended);
  }
  const auto content = examine(datagram.payload, orders.flags);
  if (!content) return std::unexpected(content.error());
  note(arrival, *content, orders, now);
  if ((orders.flags & kTreated) != 0) {
    const Record& record = flows_.record(arrival.index());
    const std::span<std::byte> payload{arrival.ip + kIpv4Size + kUdpSize, datagram.payload.size()};
    if (const auto reason = treat(payload, *content, orders.flags, record)) {
      return std::unexpected(*reason);
    }
  }
  return next_hop(arrival, orders, now);
}

[[gnu::noinline]] void Relay::forward_unusual(const Arrival& arrival, Tsc now,
                                              std::span<TxBatch> tx, Drops& drops) {
  OrdersV4 orders{};
  const auto next = admit(arrival, now, orders);
  if (!next) {
    flows_.record(arrival.index()).drop(next.error());
    return drops.add(arrival.packet, next.error());
  }
  if (orders.has(kMark)) mark(arrival.ip, orders.flags >> kDscpShift);
  send(arrival, orders, exits_[orders.peer().value >> 16], *next, tx);
}

std::expected<NeighborWord, DropReason> Relay::next_hop(const Arrival& arrival,
                                                        const OrdersV4& orders, Tsc now) {
  if (orders.has(kHeld)) return std::unexpected(DropReason::held);
  if (!orders.has(kDestination)) return std::unexpected(DropReason::no_destination);
  const Exit& exit = exits_[orders.peer().value >> 16];
  const NeighborWord word = exit.neighbors->word(orders.hop().index);
  if (word.matches(orders.hop())) return word;
  return flows_.rehop(arrival.index(), now);
}

[[gnu::noinline]] void Relay::note_unusual(const Arrival& arrival, Tsc now,
                                           std::uint32_t clock_rate) {
  millrace::note_unusual(arrival.slot->seen, flows_.record(arrival.index()),
                         RtpFields::read(arrival.payload().data()), now.ticks, clock_rate);
}

// The usual packet, plain RTP of a known source to a known neighbour, costs what is on this page;
// nothing has been changed or counted when it turns out to be another.
[[gnu::always_inline]] inline void Relay::forward(const Arrival& arrival, Tsc now,
                                                  std::span<TxBatch> tx, Drops& drops) {
  Slot& slot = *arrival.slot;
  // No writer, and these flags: one comparison with the first word.
  constexpr std::uint64_t kWanted = std::uint64_t{kSource | kDestination | kRtp} << 32;
  constexpr std::uint64_t kUnwanted = std::uint64_t{kMark | kTreated} << 32 | 1;
  const std::uint64_t head = slot.orders.head.load(kAcquire);
  OrdersV4 orders{};
  copy_v4(slot.orders, head, orders);
  if ((head & (kWanted | kUnwanted)) != kWanted || slot.orders.head.load(kRelaxed) != head ||
      !is_from(orders, arrival.ip)) [[unlikely]] {
    return forward_unusual(arrival, now, tx, drops);
  }
  const std::byte* const payload = arrival.ip + kIpv4Size + kUdpSize;
  if (arrival.length < kUdpHeaders + sizeof(RtpHeader) || payload[0] != std::byte{0x80} ||
      is_rtcp_type(payload[1])) [[unlikely]] {
    return forward_unusual(arrival, now, tx, drops);
  }
  const Exit& exit = exits_[orders.peer().value >> 16];
  const NeighborWord next = exit.neighbors->word(orders.hop().index);
  if (!next.matches(orders.hop())) [[unlikely]] {
    return forward_unusual(arrival, now, tx, drops);
  }
  send(arrival, orders, exit, next, tx);
  count(slot.seen, arrival.length - kUdpHeaders, now);
  if (!note_usual(slot.seen, RtpFields::read(payload), now.ticks, orders.clock_rate()))
      [[unlikely]] {
    note_unusual(arrival, now, orders.clock_rate());
  }
}

// ---- one burst -------------------------------------------------------------------------------

[[gnu::always_inline]] inline FrameClass Relay::classify_packet(const rte_mbuf* packet,
                                                                std::uint64_t own_mac) {
  if (packet->nb_segs != 1) [[unlikely]]
    return DropReason::multi_segment;
  const bool verified =
      (packet->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  return classify({rte_pktmbuf_mtod(packet, const std::byte*), packet->data_len}, own_mac,
                  verified);
}

// Not a datagram to one of the link's addresses: the host's, or dropped.
void Relay::other(std::size_t link, rte_mbuf* packet, Tsc now, TxBatch& tx, Drops& drops) {
  const FrameClass frame = classify_packet(packet, macs_[link]);
  std::optional<DropReason> reason;
  if (frame.kind == FrameKind::udp) reason = DropReason::not_local;
  if (frame.kind == FrameKind::drop) reason = frame.reason;
  if (!reason) reason = host_.receive(link, *packet, now, tx);
  if (reason) drops.add(packet, *reason);
}

void Relay::burst(std::size_t link, std::span<rte_mbuf*> rx, Tsc now, std::span<TxBatch> tx) {
  // Filled as far as they are read: zeroing them would cost each burst 1.3 KB of stores.
  std::array<Arrival, kBurst> arrivals;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::array<rte_mbuf*, kBurst> others;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  Arrival* arrivals_end = arrivals.data();
  rte_mbuf** others_end = others.data();
  std::uint64_t bytes = 0;
  const std::uint64_t mac = macs_[link];
  const LocalAddresses::Index local = local_[link].index();

#pragma GCC unroll 8
  for (rte_mbuf* packet : rx) rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
  for (rte_mbuf* packet : rx) {
    bytes += packet->pkt_len;
    *others_end = packet;
    if (classify_packet(packet, mac).kind != FrameKind::udp) [[unlikely]] {
      ++others_end;
      continue;
    }
    std::byte* const ip = rte_pktmbuf_mtod_offset(packet, std::byte*, kEtherSize);
    const auto* const found = local.find(load<std::uint32_t>(ip + 16));
    if (found == nullptr) [[unlikely]] {
      ++others_end;
      continue;
    }
    Slot* const slot = found->slots + load_be16(ip + kIpv4Size + 2);
    rte_prefetch0(&slot->orders);
    rte_prefetch0(&slot->seen);
    *arrivals_end++ = {packet, ip, slot, load_be16(ip + 2) + std::uint32_t{kEtherSize}};
  }

  Drops drops(stats_);
  for (rte_mbuf** packet = others.data(); packet != others_end; ++packet) {
    other(link, *packet, now, tx[link], drops);
  }
  const unsigned refused = drops.count();
  const std::uint64_t sent = bytes_in(tx);
  for (const Arrival* arrival = arrivals.data(); arrival != arrivals_end; ++arrival) {
    forward(*arrival, now, tx, drops);
  }
  const auto datagrams = static_cast<std::size_t>(arrivals_end - arrivals.data());
  stats_.rx_packets.add(rx.size());
  stats_.rx_bytes.add(bytes);
  stats_.relayed.add(datagrams - (drops.count() - refused));
  stats_.relayed_bytes.add(bytes_in(tx) - sent);
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay/nat_punch.h"

#include <bit>
#include <utility>

#include <rte_mbuf.h>

#include "dataplane/relay/rewrite.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/datagram.h"
#include "dataplane/wire/ether.h"
#include "dataplane/wire/frame.h"
#include "dataplane/wire/rtp.h"

namespace millrace {
namespace {

using namespace flow_flag;

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;

constexpr std::size_t kWordsPerRound = 1024;  // all kCapacity words within 8 ms
constexpr std::size_t kWindow = 64;           // probe length of the hash

std::size_t home_of(SlotIndex port) {
  static_assert(NatPunch::kCapacity == 1U << 13);
  return port.value * 0x9e37'79b1U >> (32 - 13);
}

// The highest dynamic payload type that neither party negotiated.
std::uint8_t unused_type(const Record& record) {
  constexpr std::uint64_t kDynamic = 0xffff'ffff'0000'0000;  // 96 to 127 in the upper word
  const std::uint64_t unused = ~record.payload_types[1].load(kAcquire) & kDynamic;
  return static_cast<std::uint8_t>(unused == 0 ? 127 : 127 - std::countl_zero(unused));
}

std::size_t write_rtp(std::byte* payload, std::uint8_t type, unsigned sequence) {
  const RtpHeader header{.flags = std::byte{0x80},
                         .type = std::byte{type},
                         .sequence = Be16(static_cast<std::uint16_t>(sequence)),
                         .timestamp = {},
                         .ssrc = {}};
  store(payload, header);
  return sizeof header;
}

// A receiver report without blocks.
std::size_t write_rtcp(std::byte* payload) {
  constexpr std::array<std::uint8_t, 8> kReport{0x80, 201, 0, 1, 0, 0, 0, 0};
  store(payload, kReport);
  return kReport.size();
}

}  // namespace

NatPunch::NatPunch(FlowTable& flows, std::span<Link* const> links, rte_mempool& pool)
    : flows_(flows),
      links_(links.begin(), links.end()),
      pool_(pool),
      round_pause_(flows.tsc_hz() / 1000),
      first_pause_(round_pause_ * static_cast<std::uint64_t>(kFirstPause.count())) {}

void NatPunch::add(SlotIndex port) {
  if (!awaits_packets(port)) return;
  const std::size_t home = home_of(port);
  const auto word = [&](std::size_t i) -> auto& { return ports_[(home + i) % kCapacity]; };
  for (std::size_t i = 0; i < kWindow; ++i) {
    if (word(i).load(kRelaxed) == port.value) return;
  }
  waiting_.fetch_add(1, kRelaxed);
  for (std::size_t i = 0; i < kWindow; ++i) {
    std::uint32_t empty = 0;
    if (word(i).compare_exchange_strong(empty, port.value, std::memory_order_acq_rel, kRelaxed)) {
      return;
    }
  }
  waiting_.fetch_sub(1, kRelaxed);
  refused_.fetch_add(1, kRelaxed);
}

void NatPunch::release(std::size_t at) {
  progress_[at] = {};
  ports_[at].store(0, std::memory_order_release);
  waiting_.fetch_sub(1, kRelaxed);
}

// Published with `nat_punch`, and neither port of the pair has admitted a packet.
bool NatPunch::awaits_packets(SlotIndex port) const {
  const auto flags = static_cast<std::uint32_t>(flows_.slot(port).rule.head.load(kAcquire) >> 32);
  if ((flags & (kActive | kNatPunch)) != (kActive | kNatPunch)) return false;
  if ((flags & (kRtp | kRtcp)) == 0 || (flags & kSplitOff) != 0) return false;
  return flows_.slot(port.of_rtp()).seen.packets.load(kRelaxed) == 0 &&
         flows_.slot(port.of_rtcp()).seen.packets.load(kRelaxed) == 0;
}

// Sends by the rule of the other side's slot: they hold destination, next hop and DSCP towards
// this party.
bool NatPunch::send(SlotIndex port, unsigned sequence, Tsc now, std::span<TxBatch> tx,
                    WorkerStats& stats) {
  const std::optional<Rule> own = read_rule(flows_.slot(port).rule);
  if (!own || !own->has(kPeer)) return false;
  const std::optional<Rule> to = read_rule(flows_.slot(own->peer).rule);
  if (!to || !to->has(kPeer | kDestination) || to->peer != port) return false;
  const FlowTable::MediaAddress& from = flows_.media_address(port);
  const Link& link = *links_[from.link];
  std::expected<NeighborWord, DropReason> next = link.neighbors.word(to->hop.index);
  if (!next->matches(to->hop)) next = flows_.refresh_next_hop(own->peer, now);
  if (!next) return false;

  TxBatch& batch = tx[link.nic];
  rte_mbuf* const packet = batch.room() > 0 ? rte_pktmbuf_alloc(&pool_) : nullptr;
  if (packet == nullptr) {
    stats.drop(DropReason::no_buffer);
    return false;
  }
  auto* const frame = rte_pktmbuf_mtod(packet, std::byte*);
  std::byte* const payload = frame + udp_headers(from.address.family());
  const std::size_t size = own->has(kRtcp)
                               ? write_rtcp(payload)
                               : write_rtp(payload, unused_type(flows_.record(port)), sequence);
  const std::size_t length = write_datagram(
      frame, {link.mac, next->mac()}, {from.address, port.local().port}, to->destination, size);
  if (to->has(kMark)) mark(frame + kEtherSize, to->dscp());
  set_length(*packet, length);
  batch.push(packet, length);
  stats.pierced.add(1);
  return true;
}

void NatPunch::send_due(Tsc now, std::span<TxBatch> tx, WorkerStats& stats) {
  next_round_ = Tsc{now.ticks + round_pause_};
  if (refused_.load(kRelaxed) != 0) {
    stats.drop(DropReason::pierce_full, refused_.exchange(0, kRelaxed));
  }
  std::size_t sent = 0;
  for (std::size_t i = 0; i < kWordsPerRound && sent < kMaxPerRound; ++i) {
    const std::size_t at = std::exchange(hand_, (hand_ + 1) % kCapacity);
    const std::uint32_t word = ports_[at].load(kAcquire);
    Progress& progress = progress_[at];
    if (word == 0 || now < progress.next) continue;
    const SlotIndex port(word);
    if (awaits_packets(port)) {
      if (send(port, progress.attempts, now, tx, stats)) ++sent;
      progress.next = Tsc{now.ticks + (first_pause_ << progress.attempts)};
      if (++progress.attempts < kAttempts) continue;
    }
    release(at);
  }
}

}  // namespace millrace

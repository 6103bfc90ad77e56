// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One slot: what to do with packets that arrive at one local port, and what was seen there.
//
// Theory of operation. A slot has two cache lines for every packet and a record for rare moments.
//  Rule  what to do. Written by signalling and by the worker that latches, read by every packet.
//          Its first word holds a sequence count. A writer reserves the slot with one
//          compare-exchange, which readers do not mind; when it knows what to write it makes the
//          count odd, release-stores the words and makes it even with a release store. A reader
//          acquire-loads the words between two loads of the count and starts again if it moved.
//          (Acquire loads and release stores instead of fences: ThreadSanitizer checks them.)
//  Seen    RFC 3550 state and counters. Written by the worker that gets the flow's packets with
//          relaxed stores, read by control. Where a NIC spreads one flow over queues a count may be
//          lost between two workers; forwarding never depends on it.
//  Record  hints, payload types and rare counters. Written by who has reserved the slot, before
//          its rule; the counters are atomic additions.
// All values are words so that each is loaded and stored whole.
//
// Ownership. The slot owns what its local port sees: rule, Seen and Record, hence latch, RFC 3550
// state and counters. They live from the first publish to withdraw(); publishing again (a
// re-INVITE, hold, block or mux change) never clears them. What belongs to the pair of ports is not
// kept here: RTCP quality (quality.h). What a call must keep beyond withdraw() it reads before
// (control/call/past_flow.h).

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "dataplane/base/net.h"
#include "dataplane/host/neighbor.h"
#include "dataplane/path.h"
#include "dataplane/report.h"
#include "dataplane/stats.h"

namespace millrace {

// Tells the core that it waits in a loop.
inline void cpu_pause() { __builtin_ia32_pause(); }

// A slot among all slots: media address, then UDP port.
struct SlotIndex {
  std::uint32_t value = 0;

  constexpr SlotIndex() = default;
  constexpr explicit SlotIndex(std::uint32_t v) : value(v) {}
  constexpr explicit SlotIndex(LocalPort local)
      : value(static_cast<std::uint32_t>(local.address) << 16 | local.port.number()) {}
  [[nodiscard]] constexpr LocalPort local() const {
    return {MediaAddressId{static_cast<std::uint16_t>(value >> 16)},
            UdpPort{static_cast<std::uint16_t>(value & 0xffff)}};
  }
  // In the pair of ports that it belongs to: RTP has the even one, RTCP the odd one above.
  [[nodiscard]] constexpr SlotIndex of_rtp() const { return SlotIndex(value & ~1U); }
  [[nodiscard]] constexpr SlotIndex of_rtcp() const { return SlotIndex(value | 1U); }
  [[nodiscard]] constexpr SlotIndex other_of_pair() const { return SlotIndex(value ^ 1U); }
  friend constexpr auto operator<=>(SlotIndex, SlotIndex) = default;
};

// The upper half of a slot's first word.
namespace flow_flag {
inline constexpr std::uint32_t kActive = 1U << 0;
inline constexpr std::uint32_t kSource = 1U << 1;       // `source` is heard
inline constexpr std::uint32_t kLatched = 1U << 2;      // and was learned from a packet
inline constexpr std::uint32_t kProvisional = 1U << 3;  // until another hinted source arrives
inline constexpr std::uint32_t kDestination = 1U << 4;  // `destination` is known
inline constexpr std::uint32_t kHeld = 1U << 5;         // the other side gets nothing
inline constexpr std::uint32_t kPeer = 1U << 6;         // `peer` is the other side's slot
inline constexpr std::uint32_t kRtp = 1U << 7;          // Payload::rtp
inline constexpr std::uint32_t kRtcp = 1U << 8;         // Payload::rtcp; neither: opaque
inline constexpr std::uint32_t kMux = 1U << 9;          // RTCP shares the port (RFC 5761)
inline constexpr std::uint32_t kCipher = 1U << 10;      // SRTP: only headers can be read
inline constexpr std::uint32_t kMark = 1U << 11;        // write the DSCP below
inline constexpr std::uint32_t kOpen = 1U << 12;        // Latching::open
inline constexpr std::uint32_t kFixed = 1U << 13;       // Latching::off
inline constexpr std::uint32_t kBridge = 1U << 14;      // the peer's address is of the other family
// One side multiplexes RTP and RTCP, the other does not:
inline constexpr std::uint32_t kSplit = 1U << 15;     // RTCP leaves by the rule of the port above
inline constexpr std::uint32_t kSplitOff = 1U << 16;  // rule of that kind: nothing arrives here
inline constexpr std::uint32_t kJoin = 1U << 17;      // leaves from the port below the peer's
inline constexpr std::uint32_t kBlocked = 1U << 18;   // Blocking::drop
inline constexpr std::uint32_t kSilenced = 1U << 19;  // Blocking::silence
inline constexpr std::uint32_t kFiltered = 1U << 20;  // Record::dropped_types
inline constexpr std::uint32_t kHandover = 1U << 21;  // Side::handover
inline constexpr std::uint32_t kNatPunch = 1U << 22;  // Side::nat_punch
inline constexpr std::uint32_t kMediaFilters = kBlocked | kSilenced | kFiltered;
inline constexpr unsigned kDscpShift = 24;
}  // namespace flow_flag

// A consistent copy of a slot's rule.
struct Rule {
  std::uint32_t flags = 0;
  Endpoint source;       // who is heard (kSource)
  Endpoint destination;  // where it is sent (kDestination)
  NextHop hop;
  SlotIndex peer;                // the other side's slot; packets leave from its address and port
  std::uint16_t ip_delta = 0;    // ones' complement change of the IPv4 header
  std::uint16_t udp_delta = 0;   // and of what the UDP checksum covers
  std::uint32_t clock_rate = 0;  // of RTP timestamps, see stream.h

  [[nodiscard]] bool has(std::uint32_t all) const { return (flags & all) == all; }
  // Whose port packets leave from.
  [[nodiscard]] SlotIndex egress() const { return has(flow_flag::kJoin) ? peer.of_rtp() : peer; }
};

// An IpAddress as words.
using AddressWords = std::array<std::atomic<std::uint64_t>, 2>;

[[nodiscard]] inline IpAddress load_address(const AddressWords& words) {
  return IpAddress::from_words(
      {words[0].load(std::memory_order_acquire), words[1].load(std::memory_order_acquire)});
}

inline void store_address(AddressWords& words, const IpAddress& address) {
  const auto [first, second] = address.words();
  words[0].store(first, std::memory_order_release);
  words[1].store(second, std::memory_order_release);
}

struct alignas(64) RuleLine {
  // In the sequence count.
  static constexpr std::uint64_t kStoring = 1;   // words are being changed
  static constexpr std::uint64_t kReserved = 2;  // somebody works on what is to be stored next
  static constexpr std::uint32_t kStep = 4;

  std::atomic<std::uint64_t> head{0};  // sequence count below, flags above
  AddressWords source{};
  AddressWords destination{};
  // From the low end on: source port, out port, destination port, as on the wire; media address of
  // the out port.
  std::atomic<std::uint64_t> ports{0};
  std::atomic<std::uint64_t> next{0};     // hop index (16), peer slot (32), hop tag (16)
  std::atomic<std::uint64_t> rewrite{0};  // ~UDP delta (16), IP delta (16), clock rate (32)
};
static_assert(sizeof(RuleLine) == 64);

// How often a reader starts again before it gives up: some microseconds, longer than any writer
// needs that is not preempted.
inline constexpr int kReadTries = 64;

// Copies by `copy(head)` between two loads of the sequence count. False if a writer was in the way
// all the time. `copy` loads words with memory_order_acquire, which keeps the last load behind it.
template <typename Copy>
[[nodiscard]] inline bool read_once(const RuleLine& line, Copy&& copy) {
  const std::uint64_t head = line.head.load(std::memory_order_acquire);
  if ((head & RuleLine::kStoring) != 0) return false;
  copy(head);
  return line.head.load(std::memory_order_relaxed) == head;
}
template <typename Copy>
[[nodiscard]] inline bool read_consistent(const RuleLine& line, Copy&& copy) {
  for (int i = 0; i < kReadTries; ++i) {
    if (read_once(line, copy)) return true;
    cpu_pause();
  }
  return false;
}

// A consistent copy of all rule, or nothing if a writer was in the way all the time.
[[nodiscard]] std::optional<Rule> read_rule(const RuleLine& line);

// The right to write a slot's rule. Readers see the old ones until commit() stores the new ones;
// a lock that goes away without it leaves the slot as it was.
class RuleLock {
 public:
  // At once or not at all.
  [[nodiscard]] static std::optional<RuleLock> try_lock(RuleLine& line);
  // Waits for another writer. Control threads only.
  [[nodiscard]] static RuleLock lock(RuleLine& line);
  RuleLock(RuleLock&& other) noexcept : line_(std::exchange(other.line_, nullptr)) {
    head_ = other.head_;
  }
  RuleLock(const RuleLock&) = delete;
  RuleLock& operator=(const RuleLock&) = delete;
  RuleLock& operator=(RuleLock&&) = delete;
  ~RuleLock();

  [[nodiscard]] Rule rule() const;
  void commit(const Rule& rule);

 private:
  RuleLock(RuleLine& line, std::uint64_t head) : line_(&line), head_(head) {}
  RuleLine* line_;
  std::uint64_t head_;  // before it was locked
};

inline constexpr std::uint64_t kKnownSender = 1ULL << 32;

// What a stream's next usual packet is known by, as one word: the highest extended sequence number
// above the beginning of its packets (stream.h). One added to the number carries into its cycles.
class Latest {
 public:
  constexpr explicit Latest(std::uint64_t raw) : raw_(raw) {}
  constexpr Latest(std::uint32_t sequence, std::uint16_t beginning)
      : raw_(std::uint64_t{sequence} << 16 | beginning) {}
  [[nodiscard]] constexpr std::uint64_t raw() const { return raw_; }
  [[nodiscard]] constexpr std::uint32_t sequence() const {
    return static_cast<std::uint32_t>(raw_ >> 16);
  }
  [[nodiscard]] constexpr std::uint16_t beginning() const {
    return static_cast<std::uint16_t>(raw_);
  }
  [[nodiscard]] constexpr Latest next() const { return Latest(raw_ + (1U << 16)); }

 private:
  std::uint64_t raw_;
};

struct alignas(64) SeenLine {
  std::atomic<std::uint64_t> packets{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> last{0};  // Tsc of the last admitted packet
  // RFC 3550 A.1 and A.8; on an RTCP path only `sender`.
  std::atomic<std::uint64_t> sender{0};  // kKnownSender and the SSRC; 0 = none yet
  std::atomic<std::uint64_t> latest{0};  // Latest: the highest extended sequence number and more
  std::atomic<std::uint32_t> base{0};    // the first extended sequence number
  std::atomic<std::uint32_t> bad_sequence{0};
  std::atomic<std::uint32_t> transit{0};
  std::atomic<std::uint32_t> jitter{0};  // times 16
  SlotIndex self;  // written once, at start-up: who only has the slot finds its record by it

  [[nodiscard]] std::uint32_t highest() const {
    return Latest(latest.load(std::memory_order_relaxed)).sequence();
  }
};
static_assert(sizeof(SeenLine) == 64);

struct Slot {
  RuleLine rule;
  SeenLine seen;
};
static_assert(sizeof(Slot) == 128);

struct alignas(64) Record {
  std::array<AddressWords, kMaxHints> hints{};  // "::" = none
  std::array<std::atomic<std::uint64_t>, 2> payload_types{};
  AddressWords remote{};                      // of the SDP
  std::atomic<std::uint32_t> remote_port{0};  // 0 = no remote
  std::atomic<std::uint32_t> candidate_port{0};

  std::array<std::atomic<std::uint64_t>, 2> dropped_types{};
  std::atomic<std::uint64_t> latched_at{0};  // Tsc

  // Open latching: the source on probation, its SSRC (32) and sequence number (16). Else the last
  // source that was refused.
  AddressWords candidate{};
  std::atomic<std::uint64_t> candidate_stream{0};

  std::atomic<std::uint64_t> stun{0};           // admitted STUN
  std::atomic<std::uint64_t> not_received{0};   // admitted, but no RTP packet of A.1's "received"
  std::atomic<std::uint64_t> past_expected{0};  // over former SSRCs and before restarts
  std::array<std::atomic<std::uint32_t>, kFlowDropReasons> drops{};  // by reason, see drop()

  void drop(DropReason reason) {
    constexpr std::uint32_t kMost = 4'000'000'000;
    const std::size_t at = std::to_underlying(reason) - kFirstFlowReason;
    if (at < drops.size() && drops[at].load(std::memory_order_relaxed) < kMost) {
      drops[at].fetch_add(1, std::memory_order_relaxed);
    }
  }
  // The sum of what was dropped for reasons `first` to `last`.
  [[nodiscard]] std::uint64_t dropped(DropReason first, DropReason last) const {
    std::uint64_t sum = 0;
    for (std::size_t i = std::to_underlying(first); i <= std::to_underlying(last); ++i) {
      sum += drops[i - kFirstFlowReason].load(std::memory_order_relaxed);
    }
    return sum;
  }
};
static_assert(sizeof(Record) == 320);

}  // namespace millrace

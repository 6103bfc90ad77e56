// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One slot: the forwarding rule of a local port, and the state of the stream received there.
//
// Theory of operation. A slot has two cache lines used per packet, and a record for rare events.
//  Rule    How to forward. Written by signalling and by the worker that latches, read per packet.
//          Its first word holds a sequence count. A writer reserves the slot with one
//          compare-exchange, which does not disturb readers. To commit, it makes the count odd,
//          release-stores the words and makes the count even with a release store. A reader
//          acquire-loads the words between two loads of the count and retries if it changed.
//          (Acquire loads and release stores instead of fences: ThreadSanitizer checks them.)
//  Seen    RFC 3550 state and counters. Written with relaxed stores by the worker that receives
//          the flow, read by control. If a NIC spreads one flow over queues, two workers may lose a
//          count. Forwarding never depends on it.
//  Record  Payload types, ports and rare counters. Written by the holder of the slot's lock before
//          it commits the rule. The counters are atomic additions.
//  PartyAddresses  Hints and other addresses of the party, in the size of the media address's
//          family. Written like Record.
// All values are words, loaded and stored whole.
//
// Ownership. The slot owns the state of its local port: Rule, Seen, Record and PartyAddresses,
// hence latch, RFC 3550 state and counters. They live from the first publish to withdraw().
// Publishing again (a re-INVITE, hold, block or mux change) never clears them. RTCP quality belongs
// to the pair of ports (quality.h). A call reads what it keeps beyond withdraw() before it
// (control/leg/past_flow.h).

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cassert>
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

// Spin-wait hint (PAUSE).
inline void cpu_pause() { __builtin_ia32_pause(); }

// Index of a slot: media address in the upper half, UDP port in the lower.
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
  // In a pair of ports RTP has the even port, RTCP the odd port above.
  [[nodiscard]] constexpr SlotIndex of_rtp() const { return SlotIndex(value & ~1U); }
  [[nodiscard]] constexpr SlotIndex of_rtcp() const { return SlotIndex(value | 1U); }
  [[nodiscard]] constexpr SlotIndex other_of_pair() const { return SlotIndex(value ^ 1U); }
  friend constexpr auto operator<=>(SlotIndex, SlotIndex) = default;
};

// The upper half of a slot's first word.
namespace flow_flag {
inline constexpr std::uint32_t kActive = 1U << 0;
inline constexpr std::uint32_t kSource = 1U << 1;   // `source` is valid: its packets are admitted
inline constexpr std::uint32_t kLatched = 1U << 2;  // `source` was latched from a packet
// With kLatched: until the next hinted source. Alone: `source` sent a keepalive. It is sent to and
// not admitted, until a valid packet latches.
inline constexpr std::uint32_t kProvisional = 1U << 3;
inline constexpr std::uint32_t kDestination = 1U << 4;  // `destination` is valid
inline constexpr std::uint32_t kHeld = 1U << 5;         // send nothing to the other side (SIP hold)
inline constexpr std::uint32_t kPeer = 1U << 6;         // `peer` is valid
inline constexpr std::uint32_t kRtp = 1U << 7;          // Payload::rtp
inline constexpr std::uint32_t kRtcp = 1U << 8;         // Payload::rtcp; neither: opaque
inline constexpr std::uint32_t kMux = 1U << 9;          // RTCP shares the port (RFC 5761)
inline constexpr std::uint32_t kCipher = 1U << 10;      // SRTP: only headers are readable
inline constexpr std::uint32_t kMark = 1U << 11;        // set the DSCP in bits kDscpShift
inline constexpr std::uint32_t kOpen = 1U << 12;        // Latching::open
inline constexpr std::uint32_t kFixed = 1U << 13;       // Latching::off
inline constexpr std::uint32_t kBridge = 1U << 14;      // the peer has the other IP family
// One side multiplexes RTP and RTCP, the other does not:
inline constexpr std::uint32_t kSplit = 1U << 15;     // forward RTCP by the rule of the port above
inline constexpr std::uint32_t kSplitOff = 1U << 16;  // the rule for that RTCP; receives no packets
inline constexpr std::uint32_t kJoin = 1U << 17;      // send from the port below the peer's
inline constexpr std::uint32_t kBlocked = 1U << 18;   // Blocking::drop
inline constexpr std::uint32_t kSilenced = 1U << 19;  // Blocking::silence
inline constexpr std::uint32_t kFiltered = 1U << 20;  // Record::drop_events, only_negotiated
inline constexpr std::uint32_t kHandover = 1U << 21;  // Side::handover
inline constexpr std::uint32_t kNatPunch = 1U << 22;  // Side::nat_punch
inline constexpr std::uint32_t kStrict = 1U << 23;    // Side::strict_source
inline constexpr std::uint32_t kAsymmetric = 1U << 30;  // Side::asymmetric
inline constexpr std::uint32_t kAtProposed = 1U << 31;  // latched at the place of Side::proposed
// Without kSource, as no packet from a wire matches: `source` is another port of the relay.
inline constexpr std::uint32_t kInside = kFixed | kProvisional;
inline constexpr std::uint32_t kMediaFilters = kBlocked | kSilenced | kFiltered;
inline constexpr unsigned kDscpShift = 24;  // 6 bits
}  // namespace flow_flag

// A consistent copy of a slot's forwarding rule.
struct Rule {
  std::uint32_t flags = 0;
  Endpoint source;       // admitted source (kSource)
  Endpoint destination;  // of packets received here (kDestination)
  NextHop hop;
  SlotIndex peer;               // the other side's slot; packets are sent from its address and port
  std::uint16_t ip_delta = 0;   // ones' complement delta of the IPv4 header checksum
  std::uint16_t udp_delta = 0;  // and of the UDP checksum
  std::uint32_t clock_rate = 0;  // of RTP timestamps, see stream.h

  [[nodiscard]] bool has(std::uint32_t all) const { return (flags & all) == all; }
  [[nodiscard]] std::uint32_t dscp() const { return flags >> flow_flag::kDscpShift & 0x3f; }
  // Slot of the port that packets are sent from.
  [[nodiscard]] SlotIndex egress() const { return has(flow_flag::kJoin) ? peer.of_rtp() : peer; }
  // The words of RuleLine.
  [[nodiscard]] std::uint64_t ports_word() const;
  [[nodiscard]] std::uint64_t next_word() const;
  [[nodiscard]] std::uint64_t rewrite_word() const;
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
  static constexpr std::uint64_t kStoring = 1;   // a commit is storing words
  static constexpr std::uint64_t kReserved = 2;  // a RuleLock is held
  static constexpr std::uint32_t kStep = 4;

  std::atomic<std::uint64_t> head{0};  // sequence count below, flags above
  AddressWords source{};
  AddressWords destination{};
  // From the low end: source, egress and destination port in network byte order; media address of
  // the egress port.
  std::atomic<std::uint64_t> ports{0};
  std::atomic<std::uint64_t> next{0};     // hop index (16), peer slot (32), hop tag (16)
  std::atomic<std::uint64_t> rewrite{0};  // ~UDP delta (16), IP delta (16), clock rate (32)
};
static_assert(sizeof(RuleLine) == 64);

// Maximum read attempts: some microseconds, longer than any commit unless the writer is preempted.
inline constexpr int kReadTries = 64;

// Calls `copy(head)` between two loads of the sequence count. False if a commit interfered, with
// read_consistent() in all kReadTries attempts. `copy` loads words with memory_order_acquire, which
// orders the last load of the count after it.
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

// The whole rule, or nothing if commits interfered in all kReadTries attempts.
[[nodiscard]] std::optional<Rule> read_rule(const RuleLine& line);

// Write lock of a slot's rule. Readers see the old rule until commit() stores the new one. Without
// commit(), the destructor releases the slot unchanged.
class RuleLock {
 public:
  // Nothing if the lock is held. Does not wait.
  [[nodiscard]] static std::optional<RuleLock> try_lock(RuleLine& line);
  // Spins until the lock is free. Control threads only.
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
  std::uint64_t head_;  // before locking
};

inline constexpr std::uint64_t kKnownSender = 1ULL << 32;

// Match word of a stream's next in-order packet: the highest extended sequence number in the upper
// bits, the first two bytes of its packets (stream.h) in the lower 16. Incrementing the sequence
// number carries into its cycles.
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
  // RFC 3550 A.1 and A.8. On an RTCP path only `sender` is used.
  std::atomic<std::uint64_t> sender{0};  // kKnownSender and the SSRC; 0 = none yet
  std::atomic<std::uint64_t> latest{0};  // a Latest
  std::atomic<std::uint32_t> base{0};    // first extended sequence number
  std::atomic<std::uint32_t> bad_sequence{0};
  std::atomic<std::uint32_t> transit{0};
  std::atomic<std::uint32_t> jitter{0};  // times 16
  SlotIndex self;                        // back-reference from slot to record; set at start-up

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

// The addresses of the party at a slot. A media address has one family for life, and so have its
// parties: an IPv4 address takes one word, an IPv6 address four. A view of the words.
class PartyAddresses {
 public:
  // Hints come first, from 0 on: RecordPorts has their number.
  static constexpr std::size_t kRemote = kMaxHints;  // address in the SDP, if RecordPorts::remote
  // The last refused source, or with open latching the one on probation, if Record::candidate_port.
  static constexpr std::size_t kCandidate = kMaxHints + 1;
  static constexpr std::size_t kCount = kMaxHints + 2;
  using Word = std::atomic<std::uint32_t>;
  [[nodiscard]] static constexpr std::size_t words_of(Family family) {
    return family == Family::ipv4 ? 1 : 4;
  }

  PartyAddresses(Word* words, Family family) : words_(words), family_(family) {}

  [[nodiscard]] IpAddress load(std::size_t at) const {
    if (family_ == Family::ipv4) return IpAddress::v4(Be32::from_raw(load_word(at)));
    std::array<std::uint32_t, 4> words;
    for (std::size_t i = 0; i < 4; ++i) words[i] = load_word(4 * at + i);
    return IpAddress::v6(std::bit_cast<std::array<std::uint8_t, 16>>(words));
  }
  // Precondition: `address` is of this family.
  void store(std::size_t at, const IpAddress& address) {
    assert(address.family() == family_);
    const auto words = std::bit_cast<std::array<std::uint32_t, 4>>(address.bytes());
    if (family_ == Family::ipv4) return words_[at].store(words[3], std::memory_order_release);
    for (std::size_t i = 0; i < 4; ++i) {
      words_[4 * at + i].store(words[i], std::memory_order_release);
    }
  }
  // Index of `address` among the first `count`; kMaxHints: none.
  [[nodiscard]] std::size_t find(const IpAddress& address, std::size_t count) const {
    if (address.family() != family_) return kMaxHints;
    const auto words = std::bit_cast<std::array<std::uint32_t, 4>>(address.bytes());
    for (std::size_t at = 0; at < count; ++at) {
      if (family_ == Family::ipv4 ? load_word(at) == words[3] : load(at) == address) return at;
    }
    return kMaxHints;
  }

 private:
  [[nodiscard]] std::uint32_t load_word(std::size_t at) const {
    return words_[at].load(std::memory_order_acquire);
  }
  Word* words_;
  Family family_;
};

// Ports that belong to PartyAddresses, the number of hints, and which a pending offer proposes.
struct RecordPorts {
  std::uint16_t remote = 0;    // of PartyAddresses::kRemote; 0 = no remote
  std::uint16_t proposed = 0;  // of ProposedPlace::remote; 0 = none
  std::uint16_t former = 0;    // of the source that the side left for the proposed place; 0 = none
  std::uint8_t former_hint : 4 = 0;   // index of its address
  std::uint8_t agreed_hints : 4 = 0;  // number of hints in force; the others are proposed only
  std::uint8_t proposed_hints = 0;    // mask

  [[nodiscard]] std::size_t hints() const {
    return std::max<std::size_t>(agreed_hints, std::bit_width(proposed_hints));
  }
  [[nodiscard]] bool proposes(std::size_t hint) const {
    return hint < kMaxHints && (proposed_hints >> hint & 1) != 0;
  }
};
static_assert(sizeof(RecordPorts) == 8 && std::atomic<RecordPorts>::is_always_lock_free);
static_assert(kMaxHints == 8, "bits of RecordPorts");

struct alignas(32) Record {
  std::array<std::atomic<std::uint64_t>, 2> payload_types{};
  std::array<std::atomic<std::uint64_t>, 2> event_types{};
  std::atomic<RecordPorts> ports{};
  std::atomic<std::uint64_t> latched_at{0};  // Tsc
  // Of the source on probation: SSRC (32 bits), port (16 bits) and sequence number (16 bits).
  std::atomic<std::uint64_t> candidate_stream{0};

  std::atomic<std::uint64_t> past_expected{0};  // of former SSRCs and before restarts
  std::atomic<std::uint32_t> stun{0};           // admitted STUN
  std::atomic<std::uint32_t> not_received{0};   // admitted, but not "received" of A.1
  // OnPublish::renew: SeenLine::packets then, as the latch is open while it stays. 0 = never.
  std::atomic<std::uint32_t> renewed_at{0};
  std::atomic<std::uint16_t> candidate_port{0};  // of PartyAddresses::kCandidate; 0 = none
  std::atomic<bool> drop_events{false}, only_negotiated{false};      // as in Side, with kFiltered
  std::array<std::atomic<std::uint32_t>, kFlowDropReasons> drops{};  // by reason: see drop()

  [[nodiscard]] bool is_event(std::uint8_t payload_type) const {
    const auto& half = event_types[payload_type / 64];
    return (half.load(std::memory_order_acquire) >> (payload_type % 64) & 1) != 0;
  }
  [[nodiscard]] bool is_negotiated(std::uint8_t payload_type) const {
    const std::uint64_t low = payload_types[0].load(std::memory_order_acquire);
    const std::uint64_t high = payload_types[1].load(std::memory_order_acquire);
    if ((low | high) == 0) return true;
    return ((payload_type < 64 ? low : high) >> (payload_type % 64) & 1) != 0;
  }
  void drop(DropReason reason) {
    constexpr std::uint32_t kLimit = 4'000'000'000;
    const std::size_t at = std::to_underlying(reason) - kFirstFlowReason;
    if (at < drops.size() && drops[at].load(std::memory_order_relaxed) < kLimit) {
      drops[at].fetch_add(1, std::memory_order_relaxed);
    }
  }
  // Packets dropped for the reasons `first` to `last`.
  [[nodiscard]] std::uint64_t dropped(DropReason first, DropReason last) const {
    std::uint64_t sum = 0;
    for (std::size_t i = std::to_underlying(first); i <= std::to_underlying(last); ++i) {
      sum += drops[i - kFirstFlowReason].load(std::memory_order_relaxed);
    }
    return sum;
  }
};
static_assert(sizeof(Record) == 160);

}  // namespace millrace

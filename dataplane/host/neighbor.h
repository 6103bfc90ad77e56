// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Next-hop cache (ARP, ND) of one link: bounded (RFC 826, RFC 1122 section 2.3.2; RFC 4861 section
// 7; RFC 6583).
//
// Theory of operation. A flow slot stores a NextHop: an entry's index and its tag. Each entry
// publishes one atomic word, MAC in the low 48 bits, tag above, so a packet needs one load and one
// compare. The tag is a generation, which changes when the entry is reused for another address, and
// a "used" bit as in a page table: the clock hand clears it, the next packet's compare fails, and
// lookup() sets it again. This tracks use without a write per packet. The word of an unresolved
// entry has its generation without the used bit and, in place of the MAC, whether a packet waits.
// A try-lock protects everything else. A worker that fails to take it drops its packet as
// neighbor_unresolved. Control threads wait: it is held for a few microseconds at most.
// Only resolve() creates entries, received messages never do, so ARP or ND floods cannot fill the
// table. Unsolicited messages are not trusted. A claim of another MAC (gratuitous ARP, unsolicited
// advertisement, sender of a request) only starts a probe: unicast to the known MAC first, then,
// after 300 ms without a reply, broadcast. A gateway can fail over to another MAC, and a spoofed
// MAC is not accepted while the owner replies. The Host builds and parses the messages.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/net.h"
#include "dataplane/report.h"
#include "dataplane/tsc.h"

namespace millrace {

// The solicited-node group of an address (RFC 4291 section 2.7.1), the all-nodes group of a link,
// and the MAC address of a group (RFC 2464 section 7).
[[nodiscard]] IpAddress solicited_node_group(const IpAddress& address);
inline constexpr IpAddress kAllNodes =
    IpAddress::v6({0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
[[nodiscard]] MacAddress group_mac(const IpAddress& group);

struct NextHop {
  std::uint16_t index = 0;
  std::uint16_t tag = 0xffff;  // the default matches no entry
  friend constexpr bool operator==(NextHop, NextHop) = default;
};
// The next hop to another port of the relay itself. Matches no entry either.
inline constexpr NextHop kInsideHop{.index = 0, .tag = 0x7fff};

// The published word of an entry.
class NeighborWord {
 public:
  constexpr explicit NeighborWord(std::uint64_t raw) : raw_(raw) {}
  [[nodiscard]] constexpr bool matches(NextHop hop) const { return raw_ >> 48 == hop.tag; }
  [[nodiscard]] constexpr std::uint64_t raw() const { return raw_; }
  [[nodiscard]] MacAddress mac() const { return MacAddress::from_word(raw_); }

 private:
  std::uint64_t raw_;
};

inline constexpr NeighborWord kInsideWord(std::uint64_t{kInsideHop.tag} << 48);

enum class HopState : std::uint8_t {
  reachable,  // the entry's word matches now
  waiting,    // request sent, no reply yet
  stale,      // the entry was reused for another address: resolve again
};

// An ARP request or Neighbor Solicitation that is due. If target and sender are equal it is an
// announcement: gratuitous ARP or an unsolicited Neighbor Advertisement.
struct Solicitation {
  IpAddress sender;
  IpAddress target;
  std::optional<MacAddress> to;  // unset: broadcast, or the target's solicited-node group
};

enum class ResolveError : std::uint8_t { no_route, table_full, contended };

class NeighborTable {
 public:
  // SDP can name any address of our networks. Therefore gateways are pinned, unresolved entries are
  // limited (a new one evicts an old one that no packet waits for), the hash is keyed, and requests
  // for entries in use are sent first.
  static constexpr std::size_t kCapacity = 1024;
  static constexpr std::size_t kGateways = 2;      // the first entries: one per family
  static constexpr std::size_t kUnresolved = 128;  // limit, gateways not included

  // `addresses`: own addresses of the interface with prefix length. `gateways`: at most one per
  // family, on-link or link-local.
  NeighborTable(std::vector<Prefix> addresses, std::vector<IpAddress> gateways,
                std::uint64_t tsc_hz);

  [[nodiscard]] NeighborWord word(std::uint16_t index) const {
    return NeighborWord(words_[index].load(std::memory_order_acquire));
  }
  // After a mismatch: sets the used bit if the entry still belongs to this neighbor.
  [[nodiscard]] HopState lookup(NextHop hop);

  // The next hop towards `destination`: itself if on-link, else the gateway. Finds or creates its
  // entry; the following ticks resolve it. For control threads (waits for the lock).
  [[nodiscard]] std::expected<NextHop, ResolveError> resolve(const IpAddress& destination, Tsc now);
  // The same for workers: returns `contended` instead of waiting.
  [[nodiscard]] std::expected<NextHop, ResolveError> try_resolve(const IpAddress& destination,
                                                                 Tsc now);

  // Handles an ARP reply or a solicited Neighbor Advertisement. Without a MAC it confirms the known
  // one. True if it answers an outstanding request; otherwise it is treated as a claim.
  bool learn(const IpAddress& address, const std::optional<MacAddress>& mac, Tsc now);
  // Handles an unsolicited message that maps `address` to this MAC. If the known MAC differs, or
  // none is known yet, the next request is sent soon.
  void claim(const IpAddress& address, const MacAddress& mac, Tsc now);

  // Whether tick() is due: every 100 ms, or 10 ms after the last tick if an entry is new.
  [[nodiscard]] bool due(Tsc now) const {
    return now.ticks >= next_tick_.load(std::memory_order_relaxed);
  }
  // Retry, ageing, eviction, announcements. Fills `out` with the requests to send now and returns
  // their number. Requests that do not fit are due at the next tick. Called by one worker.
  std::size_t tick(Tsc now, std::span<Solicitation> out);

  [[nodiscard]] std::vector<NeighborReport> report(Tsc now) const;  // without interface names

 private:
  enum class State : std::uint8_t {
    free,
    incomplete,  // request sent, no reply; after kQuickTries requests are sent more slowly
    reachable,
    probing,  // reachable, and re-probed because it is old
    doubted,  // reachable, and re-probed because another MAC was claimed
  };
  struct Entry {
    IpAddress address;
    State state = State::free;
    std::uint8_t tries = 0;
    bool broadcast = false;        // the last request was broadcast: any MAC may reply
    std::uint16_t generation = 0;  // 15 bits, never 0 once used
    Tsc requested;                 // last request
    Tsc due;                       // earliest time of the next request
    Tsc confirmed;
    Tsc used;     // last use that the clock hand found
    Tsc checked;  // when the hand last cleared the used bit
    Tsc awaited;  // incomplete: when the hand last found that a packet waits
  };
  // Refers to one of the kUnresolved unresolved entries. Unused if the entry has another generation
  // or is resolved.
  struct Pending {
    std::uint16_t index = 0;
    std::uint16_t generation = 0;
  };
  class Lock;

  [[nodiscard]] std::expected<NextHop, ResolveError> find_or_make(const IpAddress& destination,
                                                                  Tsc now);
  [[nodiscard]] bool is_on_link(const IpAddress& destination) const;
  [[nodiscard]] std::optional<std::size_t> gateway_of(Family family) const;
  [[nodiscard]] const IpAddress& source_for(const IpAddress& target) const;
  [[nodiscard]] std::size_t home_of(const IpAddress& address) const;
  [[nodiscard]] std::optional<std::size_t> find(const IpAddress& address) const;
  [[nodiscard]] std::optional<std::size_t> find_room(const IpAddress& address, Tsc now) const;
  void make(std::size_t index, const IpAddress& address, Tsc now);
  [[nodiscard]] NextHop hop_to(std::size_t index) const;
  [[nodiscard]] Pending& take_pending(Tsc now);
  [[nodiscard]] bool is_unresolved(const Pending& pending) const;
  [[nodiscard]] bool is_awaited(std::size_t index, Tsc now) const;
  [[nodiscard]] MacAddress mac_of(std::size_t index) const;
  void doubt(Entry& entry, Tsc now) const;
  std::optional<Solicitation> announcement(Tsc now);
  void note_use(std::size_t index, Tsc now);
  [[nodiscard]] std::optional<Solicitation> age(std::size_t index, Tsc now);
  [[nodiscard]] Solicitation solicit(std::size_t index, Tsc now);
  void release(std::size_t index);

  std::vector<Prefix> addresses_;
  std::vector<IpAddress> gateways_;
  std::uint64_t tsc_hz_;
  std::atomic<std::uint64_t> next_tick_{0};
  mutable std::atomic<bool> locked_{false};
  std::size_t announced_ = 0;  // announcements sent: kAnnouncements per address
  Tsc announced_at_;           // start of the current round of announcements
  Tsc ticked_;
  std::size_t hand_ = 0;          // clock hand over the hashed entries
  std::size_t pending_hand_ = 0;  // clock hand over `pending_`
  std::array<Pending, kUnresolved> pending_{};
  std::size_t next_pending_ = 0;
  std::array<std::uint64_t, 5> key_;  // of the hash
  std::array<Entry, kCapacity> entries_{};
  std::array<std::atomic<std::uint64_t>, kCapacity> words_{};
};

}  // namespace millrace

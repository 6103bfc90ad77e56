// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Next-hop cache (ARP, ND) of one link: bounded (RFC 826, RFC 1122 section 2.3.2; RFC 4861 section
// 7; RFC 6583).
//
// Theory of operation. A flow slot stores a NextHop: an entry's index and the tag that the entry
// shows while it is this neighbour and reachable. Each entry publishes one atomic word, its MAC in
// the low 48 bits in memory order and its tag above, so a packet needs one load and one compare.
// The tag is a generation, which changes when the entry is given to another address, and a "used"
// bit as in a page table: the clock hand clears it, the next packet's compare fails, and touch()
// sets it again. Use is thus known without a write for each packet. An entry that is still being
// resolved shows its generation without the bit and, for a MAC, whether anyone waits for it.
// Everything else lies behind a try-lock. A worker that does not get it drops its packet as
// neighbor_unresolved; control threads wait for the few microseconds it is ever held.
// Entries come from resolve() alone (what we want to send to), never from received messages: a
// flood of ARP or ND cannot fill the table. No message is trusted that was not asked for. A claim
// of another MAC (gratuitous ARP, unsolicited advertisement, the sender of a request) only starts a
// probe: first of the known MAC alone, and if that stays silent for 300 ms, of everyone. So a
// gateway may fail over to another MAC, and a liar gets nothing while the owner answers.
// SDP can name any address of our networks. Gateways are therefore pinned, from the start and for
// ever; unresolved entries are at most kUnresolved, and a new one takes the place of an old one for
// which no packet waits; the hash is keyed. Requests for the entries in use go out first.
// The families differ in their messages, which belong to the Host, not in this table.

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

// Where an IPv6 address is asked for (RFC 4291 section 2.7.1), all nodes of a link, and the MAC
// address of a group (RFC 2464 section 7).
[[nodiscard]] IpAddress solicited_node_group(const IpAddress& address);
inline constexpr IpAddress kAllNodes =
    IpAddress::v6({0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
[[nodiscard]] MacAddress group_mac(const IpAddress& group);

struct NextHop {
  std::uint16_t index = 0;
  std::uint16_t tag = 0xffff;  // the default matches no entry
  friend constexpr bool operator==(NextHop, NextHop) = default;
};

// An entry's published word.
class NeighborWord {
 public:
  constexpr explicit NeighborWord(std::uint64_t raw) : raw_(raw) {}
  [[nodiscard]] constexpr bool matches(NextHop hop) const { return raw_ >> 48 == hop.tag; }
  [[nodiscard]] constexpr std::uint64_t raw() const { return raw_; }
  [[nodiscard]] MacAddress mac() const { return MacAddress::from_word(raw_); }

 private:
  std::uint64_t raw_;
};

enum class HopState : std::uint8_t {
  reachable,  // the entry's word now matches
  waiting,    // asked, not answered yet
  stale,      // the entry is someone else's: resolve again
};

// An ARP request or Neighbor Solicitation that is due. If it asks for the sender's own address it
// is an announcement: gratuitous ARP or an unsolicited Neighbor Advertisement.
struct Solicitation {
  IpAddress sender;
  IpAddress target;
  std::optional<MacAddress> to;  // unset: all, or the target's group
};

enum class ResolveError : std::uint8_t { no_route, table_full, contended };

class NeighborTable {
 public:
  static constexpr std::size_t kCapacity = 1024;
  static constexpr std::size_t kGateways = 2;      // of these, the first: one of a family
  static constexpr std::size_t kUnresolved = 128;  // at most, beside the gateways

  // `addresses` are the interface's own, each with its network's length; `gateways` are at most one
  // of a family, on-link or link-local.
  NeighborTable(std::vector<Prefix> addresses, std::vector<IpAddress> gateways,
                std::uint64_t tsc_hz);

  [[nodiscard]] NeighborWord word(std::uint16_t index) const {
    return NeighborWord(words_[index].load(std::memory_order_acquire));
  }
  // After a mismatch: marks the entry as used, if it still is this neighbour.
  [[nodiscard]] HopState touch(NextHop hop);

  // The next hop towards `destination`: itself if on-link, else the gateway. Finds or makes its
  // entry, which then is resolved by the following ticks. For control threads (waits).
  [[nodiscard]] std::expected<NextHop, ResolveError> resolve(const IpAddress& destination, Tsc now);
  // The same for workers: gives up with `contended` rather than wait.
  [[nodiscard]] std::expected<NextHop, ResolveError> try_resolve(const IpAddress& destination,
                                                                 Tsc now);

  // An ARP reply or a solicited Neighbor Advertisement; without MAC it confirms the known one. True
  // if it answers a request of ours; else it is only a claim.
  bool learn(const IpAddress& address, const std::optional<MacAddress>& mac, Tsc now);
  // A message that is no answer says that `address` has this MAC. If it is another one than ours,
  // or we have none yet, the next request goes out soon.
  void claim(const IpAddress& address, const MacAddress& mac, Tsc now);

  // Whether tick() has something to do: every 100 ms, and 10 ms after the last one if an entry is
  // new.
  [[nodiscard]] bool due(Tsc now) const {
    return now.ticks >= next_tick_.load(std::memory_order_relaxed);
  }
  // Retry, ageing, eviction, announcements. Fills `out` with the requests to send now and returns
  // how many; what does not fit is due at the next tick. Called by one worker.
  std::size_t tick(Tsc now, std::span<Solicitation> out);

  [[nodiscard]] std::vector<NeighborReport> report(Tsc now) const;  // without interface names

 private:
  enum class State : std::uint8_t {
    free,
    incomplete,  // asked, not answered; tries past a few: asked more slowly
    reachable,
    probing,  // reachable, and asked again because it is old
    doubted,  // reachable, and asked again because another MAC was claimed
  };
  struct Entry {
    IpAddress address;
    State state = State::free;
    std::uint8_t tries = 0;
    bool broadcast = false;        // the last request was: any MAC may answer
    std::uint16_t generation = 0;  // 15 bits, never 0 once used
    Tsc asked;                     // the last request
    Tsc due;                       // the next one, not before
    Tsc confirmed;
    Tsc used;     // as the clock hand saw it last
    Tsc checked;  // when the hand last cleared the used bit
    Tsc awaited;  // incomplete: when the hand last saw that a packet waits
  };
  // One of kUnresolved. Empty if the entry has another generation or is resolved by now.
  struct Place {
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
  [[nodiscard]] Place& take_place(Tsc now);
  [[nodiscard]] bool is_taken(const Place& place) const;
  [[nodiscard]] bool is_awaited(std::size_t index, Tsc now) const;
  [[nodiscard]] MacAddress mac_of(std::size_t index) const;
  void doubt(Entry& entry, Tsc now) const;
  std::optional<Solicitation> announcement(Tsc now);
  void note_use(std::size_t index, Tsc now);
  [[nodiscard]] std::optional<Solicitation> age(std::size_t index, Tsc now);
  [[nodiscard]] Solicitation ask(std::size_t index, Tsc now);
  void release(std::size_t index);

  std::vector<Prefix> addresses_;
  std::vector<IpAddress> gateways_;
  std::uint64_t tsc_hz_;
  std::atomic<std::uint64_t> next_tick_{0};
  mutable std::atomic<bool> locked_{false};
  std::size_t announced_ = 0;  // announcements sent: kAnnouncements for each address
  Tsc announced_at_;           // when the present round of them began
  Tsc ticked_;
  std::size_t hand_ = 0;      // where the next tick goes on: among the entries,
  std::size_t ask_hand_ = 0;  // and among the places
  std::array<Place, kUnresolved> unresolved_{};
  std::size_t next_place_ = 0;
  std::array<std::uint64_t, 5> key_;  // of the hash
  std::array<Entry, kCapacity> entries_{};
  std::array<std::atomic<std::uint64_t>, kCapacity> words_{};
};

}  // namespace millrace

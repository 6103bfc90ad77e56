// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/host/neighbor.h"

#include <algorithm>
#include <cstring>

namespace millrace {
namespace {

constexpr std::uint16_t kUsedBit = 0x8000;
constexpr std::uint16_t kGenerationMask = 0x7fff;
constexpr std::uint64_t kUsedInWord = std::uint64_t{kUsedBit} << 48;
constexpr std::uint64_t kWanted = 1;  // in place of a MAC: a packet waits for this entry

// Entries of one address lie within this many of its home.
constexpr std::size_t kWindow = 64;

// RFC 1122 section 2.3.2.1: at most one request a second for an address.
constexpr unsigned kQuickTries = 3;
constexpr unsigned kUnicastTries = 2;       // of a re-probe, before it broadcasts
constexpr std::uint64_t kQuickSeconds = 1;  // between the first requests
constexpr std::uint64_t kSlowSeconds = 5;   // and later ones
constexpr std::uint64_t kFreshSeconds = 30;
constexpr std::uint64_t kIdleSeconds = 600;
constexpr std::uint64_t kUnansweredSeconds = 60;
constexpr std::size_t kAnnouncements = 3;  // for each address

std::uint64_t pack(std::uint16_t tag, const MacAddress& mac) {
  return mac.word() | std::uint64_t{tag} << 48;
}

std::size_t home_of(const IpAddress& address) {
  const auto [first, second] = address.words();
  const std::uint64_t mixed = (first ^ second) * 0x9e37'79b9'7f4a'7c15;
  return mixed >> 54;  // the top 10 bits
}
static_assert(NeighborTable::kCapacity == 1U << 10);

bool is_unicast(const MacAddress& mac) { return (mac.bytes[0] & 1) == 0 && mac != MacAddress{}; }

}  // namespace

IpAddress solicited_node_group(const IpAddress& address) {
  const auto& b = address.bytes();
  return IpAddress::v6({0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, b[13], b[14], b[15]});
}

MacAddress group_mac(const IpAddress& group) {
  const auto& b = group.bytes();
  return {{0x33, 0x33, b[12], b[13], b[14], b[15]}};
}

// Held for a few microseconds at most.
class NeighborTable::Lock {
 public:
  enum class Wait : std::uint8_t { never, briefly, until_free };
  Lock(std::atomic<bool>& locked, Wait wait) : locked_(locked) {
    for (int tries = 0;; ++tries) {
      held_ = !locked_.exchange(true, std::memory_order_acquire);
      if (held_ || wait == Wait::never || (wait == Wait::briefly && tries == 100)) return;
      __builtin_ia32_pause();
    }
  }
  ~Lock() {
    if (held_) locked_.store(false, std::memory_order_release);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  explicit operator bool() const { return held_; }

 private:
  std::atomic<bool>& locked_;
  bool held_ = false;
};

NeighborTable::NeighborTable(std::vector<Prefix> addresses, std::vector<IpAddress> gateways,
                             std::uint64_t tsc_hz)
    : addresses_(std::move(addresses)), gateways_(std::move(gateways)), tsc_hz_(tsc_hz) {}

HopState NeighborTable::touch(NextHop hop) {
  std::atomic<std::uint64_t>& word = words_[hop.index % kCapacity];
  std::uint64_t seen = word.load(std::memory_order_acquire);
  for (;;) {
    const std::uint64_t tag = seen >> 48;
    if (tag == 0 || (tag & kGenerationMask) != (hop.tag & kGenerationMask)) return HopState::stale;
    const bool resolved = (seen & MacAddress::kWordMask & ~kWanted) != 0;
    const std::uint64_t marked = resolved ? seen | kUsedInWord : seen | kWanted;
    if (marked == seen || word.compare_exchange_weak(seen, marked, std::memory_order_acq_rel)) {
      return resolved ? HopState::reachable : HopState::waiting;
    }
  }
}

std::optional<IpAddress> NeighborTable::route(const IpAddress& destination) const {
  for (const Prefix& prefix : addresses_) {
    if (prefix.contains(destination)) return destination;
  }
  for (const IpAddress& gateway : gateways_) {
    if (gateway.family() == destination.family()) return gateway;
  }
  return std::nullopt;
}

const IpAddress& NeighborTable::source_for(const IpAddress& target) const {
  const IpAddress* found = nullptr;
  for (const Prefix& prefix : addresses_) {
    if (prefix.contains(target)) return prefix.address;
    // To a link-local router from any address of its family.
    if (found == nullptr && prefix.address.family() == target.family()) found = &prefix.address;
  }
  return found != nullptr ? *found : addresses_.front().address;
}

std::expected<NextHop, ResolveError> NeighborTable::resolve(const IpAddress& destination, Tsc now) {
  const Lock lock(locked_, Lock::Wait::until_free);
  return find_or_make(destination, now);
}

std::expected<NextHop, ResolveError> NeighborTable::try_resolve(const IpAddress& destination,
                                                                Tsc now) {
  const Lock lock(locked_, Lock::Wait::never);
  if (!lock) return std::unexpected(ResolveError::contended);
  return find_or_make(destination, now);
}

std::expected<NextHop, ResolveError> NeighborTable::find_or_make(const IpAddress& destination,
                                                                 Tsc now) {
  const std::optional<IpAddress> next = route(destination);
  if (!next) return std::unexpected(ResolveError::no_route);
  const std::size_t home = home_of(*next);
  std::optional<std::size_t> room;
  for (std::size_t i = 0; i < kWindow; ++i) {
    const std::size_t index = (home + i) % kCapacity;
    Entry& entry = entries_[index];
    if (entry.state == State::free) {
      if (!room) room = index;
    } else if (entry.address == *next) {
      entry.used = now;
      return NextHop{static_cast<std::uint16_t>(index),
                     static_cast<std::uint16_t>(entry.generation | kUsedBit)};
    }
  }
  if (!room) return std::unexpected(ResolveError::table_full);

  Entry& entry = entries_[*room];
  std::uint16_t generation = (entry.generation + 1) & kGenerationMask;
  // 0 means free, and all ones with the used bit is the tag that matches nothing.
  if (generation == kGenerationMask || generation == 0) generation = 1;
  entry = Entry{.address = *next,
                .state = State::incomplete,
                .tries = 0,
                .generation = generation,
                .asked = {},
                .confirmed = {},
                .used = now,
                .checked = now};
  words_[*room].store(std::uint64_t{generation} << 48, std::memory_order_release);
  next_tick_.store(0, std::memory_order_relaxed);
  return NextHop{static_cast<std::uint16_t>(*room),
                 static_cast<std::uint16_t>(generation | kUsedBit)};
}

bool NeighborTable::learn(const IpAddress& address, const std::optional<MacAddress>& mac, Tsc now) {
  if (mac && !is_unicast(*mac)) return false;
  const Lock lock(locked_, Lock::Wait::briefly);
  if (!lock) return false;  // as if the reply were lost: asked again in a second
  const std::size_t home = home_of(address);
  for (std::size_t i = 0; i < kWindow; ++i) {
    const std::size_t index = (home + i) % kCapacity;
    Entry& entry = entries_[index];
    if (entry.address != address) continue;
    const bool asked = entry.tries > 0;
    if (!asked || (entry.state != State::incomplete && entry.state != State::probing)) continue;
    if (!mac && entry.state == State::incomplete) return false;
    // Slots that wait for a new neighbour match it from now on.
    if (entry.state == State::incomplete) entry.checked = now;
    entry.state = State::reachable;
    entry.tries = 0;
    entry.confirmed = now;
    if (mac) {
      words_[index].store(pack(entry.generation | kUsedBit, *mac), std::memory_order_release);
    }
    return true;
  }
  return false;
}

void NeighborTable::release(std::size_t index) {
  entries_[index].state = State::free;
  words_[index].store(0, std::memory_order_release);
}

// Takes what packets have left in the entry's word: the used bit, or that they wait.
void NeighborTable::note_use(std::size_t index, Tsc now) {
  Entry& entry = entries_[index];
  if (entry.state == State::incomplete) {
    if ((words_[index].fetch_and(~kWanted, std::memory_order_acq_rel) & kWanted) != 0) {
      entry.used = now;
    }
  } else if (elapsed(entry.checked, now) >= kFreshSeconds * tsc_hz_) {
    entry.checked = now;
    if ((words_[index].fetch_and(~kUsedInWord, std::memory_order_acq_rel) & kUsedInWord) != 0) {
      entry.used = now;
    }
  }
}

std::optional<Solicitation> NeighborTable::age(std::size_t index, Tsc now) {
  Entry& entry = entries_[index];
  if (entry.state == State::free) return std::nullopt;
  note_use(index, now);
  const bool known = entry.state != State::incomplete;
  const std::uint64_t unused = elapsed(entry.used, now);
  if (unused >= (known ? kIdleSeconds : kUnansweredSeconds) * tsc_hz_) {
    release(index);
    return std::nullopt;
  }
  if (known) {
    const bool fresh = elapsed(entry.confirmed, now) < kFreshSeconds * tsc_hz_;
    const bool in_use = unused < 2 * kFreshSeconds * tsc_hz_;
    entry.state = fresh || !in_use ? State::reachable : State::probing;
    if (entry.state == State::reachable) {
      entry.tries = 0;
      return std::nullopt;
    }
  }
  const std::uint64_t pause = entry.tries < kQuickTries ? kQuickSeconds : kSlowSeconds;
  if (entry.tries > 0 && elapsed(entry.asked, now) < pause * tsc_hz_) return std::nullopt;

  Solicitation request{source_for(entry.address), entry.address, std::nullopt};
  if (known && entry.tries < kUnicastTries) {
    request.to = NeighborWord(words_[index].load(std::memory_order_relaxed)).mac();
  }
  entry.asked = now;
  if (entry.tries < kQuickTries) ++entry.tries;
  return request;
}

std::optional<Solicitation> NeighborTable::announcement(Tsc now) {
  if (announced_ == kAnnouncements * addresses_.size()) return std::nullopt;
  // One round for all addresses, then a pause of 1.5 s.
  const std::size_t in_round = announced_ % addresses_.size();
  if (in_round == 0) {
    if (announced_ > 0 && elapsed(announced_at_, now) < tsc_hz_ + tsc_hz_ / 2) return std::nullopt;
    announced_at_ = now;
  }
  ++announced_;
  const IpAddress& own = addresses_[in_round].address;
  return Solicitation{own, own, std::nullopt};
}

std::size_t NeighborTable::tick(Tsc now, std::span<Solicitation> out) {
  const Lock lock(locked_, Lock::Wait::briefly);
  if (!lock) return 0;
  next_tick_.store(now.ticks + tsc_hz_ / 10, std::memory_order_relaxed);
  std::size_t count = 0;
  while (count < out.size()) {
    const std::optional<Solicitation> request = announcement(now);
    if (!request) break;
    out[count++] = *request;
  }
  for (std::size_t i = 0; i < kCapacity && count < out.size(); ++i) {
    if (const std::optional<Solicitation> request = age(hand_, now)) out[count++] = *request;
    hand_ = (hand_ + 1) % kCapacity;
  }
  return count;
}

std::vector<NeighborReport> NeighborTable::report(Tsc now) const {
  std::vector<NeighborReport> all;
  all.reserve(kCapacity);  // not while the lock is held
  const Lock lock(locked_, Lock::Wait::until_free);
  for (std::size_t i = 0; i < kCapacity; ++i) {
    const Entry& entry = entries_[i];
    if (entry.state == State::free) continue;
    NeighborReport one;
    one.address = entry.address;
    if (entry.state != State::incomplete) {
      one.mac = NeighborWord(words_[i].load(std::memory_order_relaxed)).mac();
      const double seconds =
          static_cast<double>(elapsed(entry.confirmed, now)) / static_cast<double>(tsc_hz_);
      one.age = std::chrono::duration_cast<std::chrono::nanoseconds>(
          std::chrono::duration<double>(seconds));
    }
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace millrace

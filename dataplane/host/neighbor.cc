// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/host/neighbor.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <random>

namespace millrace {
namespace {

constexpr std::uint16_t kUsedBit = 0x8000;
constexpr std::uint16_t kGenerationMask = 0x7fff;
constexpr std::uint64_t kUsedInWord = std::uint64_t{kUsedBit} << 48;
constexpr std::uint64_t kWanted = 1;  // in place of the MAC: a packet waits for this entry

// Probe length of the hash: an address's entry is within this many entries of its home.
constexpr std::size_t kWindow = 64;
constexpr std::size_t kHashed = NeighborTable::kCapacity - NeighborTable::kGateways;
constexpr std::size_t kMaxSkipped = 32;  // awaited entries that take_pending() skips

// RFC 1122 section 2.3.2.1: at most one request per second and address.
constexpr unsigned kQuickTries = 3;
constexpr unsigned kUnicastTries = 2;       // re-probe: unicast requests before broadcast
constexpr unsigned kDoubtTries = 1;         // the same after a claim of another MAC
constexpr std::uint64_t kQuickSeconds = 1;  // interval of the first kQuickTries requests
constexpr std::uint64_t kSlowSeconds = 5;   // interval of later requests
constexpr std::uint64_t kFreshSeconds = 30;
constexpr std::uint64_t kIdleSeconds = 600;
constexpr std::uint64_t kUnansweredSeconds = 60;
constexpr std::size_t kAnnouncements = 3;  // per address

std::uint64_t pack(std::uint16_t tag, const MacAddress& mac) {
  return mac.word() | std::uint64_t{tag} << 48;
}

// Minimum interval between a request and the next one that a claim causes: 300 ms.
std::uint64_t doubt_pause(std::uint64_t tsc_hz) { return tsc_hz * 3 / 10; }

std::array<std::uint64_t, 5> random_key() {
  std::random_device random;
  std::array<std::uint64_t, 5> key{};
  for (std::uint64_t& word : key) word = std::uint64_t{random()} << 32 | random();
  return key;
}

// The i-th probe position of an address with this home.
std::size_t in_window(std::size_t home, std::size_t i) {
  return NeighborTable::kGateways + (home + i) % kHashed;
}

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

// Spinlock, held for a few microseconds at most.
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
    : addresses_(std::move(addresses)),
      gateways_(std::move(gateways)),
      tsc_hz_(tsc_hz),
      key_(random_key()) {
  assert(gateways_.size() <= kGateways);
  for (std::size_t i = 0; i < gateways_.size(); ++i) make(i, gateways_[i], Tsc{});
}

HopState NeighborTable::lookup(NextHop hop) {
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

bool NeighborTable::is_on_link(const IpAddress& destination) const {
  return std::ranges::any_of(addresses_,
                             [&](const Prefix& own) { return own.contains(destination); });
}

std::optional<std::size_t> NeighborTable::gateway_of(Family family) const {
  for (std::size_t i = 0; i < gateways_.size(); ++i) {
    if (gateways_[i].family() == family) return i;
  }
  return std::nullopt;
}

const IpAddress& NeighborTable::source_for(const IpAddress& target) const {
  const IpAddress* found = nullptr;
  for (const Prefix& prefix : addresses_) {
    if (prefix.contains(target)) return prefix.address;
    // Link-local router: any address of the same family.
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

// Keyed multilinear hash: an attacker without the key cannot fill one window.
std::size_t NeighborTable::home_of(const IpAddress& address) const {
  const auto words = std::bit_cast<std::array<std::uint32_t, 4>>(address.bytes());
  std::uint64_t sum = key_[4];
  for (std::size_t k = 0; k < words.size(); ++k) sum += key_[k] * words[k];
  return (sum >> 32) * kHashed >> 32;
}

std::optional<std::size_t> NeighborTable::find(const IpAddress& address) const {
  const auto gateway = std::ranges::find(gateways_, address);
  if (gateway != gateways_.end()) {
    return static_cast<std::size_t>(gateway - gateways_.begin());
  }
  const std::size_t home = home_of(address);
  for (std::size_t i = 0; i < kWindow; ++i) {
    const std::size_t index = in_window(home, i);
    if (entries_[index].state != State::free && entries_[index].address == address) return index;
  }
  return std::nullopt;
}

// A free entry, else the oldest unresolved one, else the resolved one that is unused for longest.
std::optional<std::size_t> NeighborTable::find_room(const IpAddress& address, Tsc now) const {
  std::optional<std::size_t> unresolved, idle;
  const std::size_t home = home_of(address);
  for (std::size_t i = 0; i < kWindow; ++i) {
    const std::size_t index = in_window(home, i);
    const Entry& entry = entries_[index];
    if (entry.state == State::free) return index;
    if (entry.state == State::incomplete) {
      if (!unresolved || entry.checked < entries_[*unresolved].checked) unresolved = index;
    } else if (elapsed(entry.used, now) >= 2 * kFreshSeconds * tsc_hz_) {
      if (!idle || entry.used < entries_[*idle].used) idle = index;
    }
  }
  return unresolved ? unresolved : idle;
}

void NeighborTable::make(std::size_t index, const IpAddress& address, Tsc now) {
  std::uint16_t generation = (entries_[index].generation + 1) & kGenerationMask;
  // Tag 0 means free. All ones is kInsideHop's tag and, with the used bit, NextHop's default
  // tag: both match nothing.
  if (generation == kGenerationMask || generation == 0) generation = 1;
  entries_[index] = Entry{.address = address,
                          .state = State::incomplete,
                          .tries = 0,
                          .broadcast = false,
                          .generation = generation,
                          .requested = {},
                          .due = {},
                          .confirmed = {},
                          .used = now,
                          .checked = now,
                          .awaited = {}};
  words_[index].store(std::uint64_t{generation} << 48, std::memory_order_release);
}

NextHop NeighborTable::hop_to(std::size_t index) const {
  return NextHop{static_cast<std::uint16_t>(index),
                 static_cast<std::uint16_t>(entries_[index].generation | kUsedBit)};
}

bool NeighborTable::is_unresolved(const Pending& pending) const {
  const Entry& entry = entries_[pending.index];
  return entry.state == State::incomplete && entry.generation == pending.generation;
}

// Packets wait for this unresolved entry, and fewer than kQuickTries requests are unanswered.
bool NeighborTable::is_awaited(std::size_t index, Tsc now) const {
  const Entry& entry = entries_[index];
  const bool waits = (words_[index].load(std::memory_order_relaxed) & kWanted) != 0;
  return entry.tries < kQuickTries &&
         (waits || elapsed(entry.awaited, now) < kQuickSeconds * tsc_hz_);
}

// Returns an unused element of `pending_`. Evicts an entry if needed, skipping awaited entries.
NeighborTable::Pending& NeighborTable::take_pending(Tsc now) {
  for (std::size_t skipped = 0;; ++skipped) {
    Pending& pending = pending_[next_pending_];
    next_pending_ = (next_pending_ + 1) % kUnresolved;
    if (!is_unresolved(pending)) return pending;
    if (skipped < kMaxSkipped && is_awaited(pending.index, now)) continue;
    release(pending.index);
    return pending;
  }
}

std::expected<NextHop, ResolveError> NeighborTable::find_or_make(const IpAddress& destination,
                                                                 Tsc now) {
  if (!is_on_link(destination)) {
    const auto gateway = gateway_of(destination.family());
    if (!gateway) return std::unexpected(ResolveError::no_route);
    return hop_to(*gateway);
  }
  if (const auto index = find(destination)) {
    entries_[*index].used = now;
    return hop_to(*index);
  }
  const auto room = find_room(destination, now);
  if (!room) return std::unexpected(ResolveError::table_full);
  Pending& pending = take_pending(now);
  make(*room, destination, now);
  pending = {static_cast<std::uint16_t>(*room), entries_[*room].generation};
  // Not at once: a flood that creates an entry per packet must not cause a tick per packet.
  const std::uint64_t soon = ticked_.ticks + tsc_hz_ / 100;
  if (soon < next_tick_.load(std::memory_order_relaxed)) {
    next_tick_.store(soon, std::memory_order_relaxed);
  }
  return hop_to(*room);
}

MacAddress NeighborTable::mac_of(std::size_t index) const {
  return NeighborWord(words_[index].load(std::memory_order_relaxed)).mac();
}

bool NeighborTable::learn(const IpAddress& address, const std::optional<MacAddress>& mac, Tsc now) {
  if (mac && !is_unicast(*mac)) return false;
  const Lock lock(locked_, Lock::Wait::briefly);
  if (!lock) return false;  // same as a lost reply: the request is repeated after a second
  const auto index = find(address);
  if (!index) return false;
  Entry& entry = entries_[*index];
  const bool known = entry.state != State::incomplete;
  const bool same = known && (!mac || *mac == mac_of(*index));
  const bool solicited = entry.tries > 0 && entry.state != State::reachable;
  if (!solicited || !(same || (mac && entry.broadcast))) {
    if (mac && !same) doubt(entry, now);
    return false;
  }
  // Slots that wait for a new neighbor match it from now on.
  if (!known) entry.checked = now;
  entry.state = State::reachable;
  entry.tries = 0;
  entry.confirmed = now;
  if (mac) {
    words_[*index].store(pack(entry.generation | kUsedBit, *mac), std::memory_order_release);
  }
  return true;
}

void NeighborTable::claim(const IpAddress& address, const MacAddress& mac, Tsc now) {
  if (!is_unicast(mac)) return;
  const Lock lock(locked_, Lock::Wait::briefly);
  if (!lock) return;
  const auto index = find(address);
  if (!index) return;
  Entry& entry = entries_[*index];
  if (entry.state == State::incomplete || mac != mac_of(*index)) doubt(entry, now);
}

void NeighborTable::doubt(Entry& entry, Tsc now) const {
  if (entry.state == State::reachable) entry.tries = 0;
  if (entry.state != State::incomplete) entry.state = State::doubted;
  const Tsc soonest = std::max(now, Tsc{entry.requested.ticks + doubt_pause(tsc_hz_)});
  entry.due = std::min(entry.due, soonest);
}

void NeighborTable::release(std::size_t index) {
  entries_[index].state = State::free;
  words_[index].store(0, std::memory_order_release);
}

// Reads and clears the flag that packets set in the entry's word: used, or wanted if unresolved.
void NeighborTable::note_use(std::size_t index, Tsc now) {
  Entry& entry = entries_[index];
  if (entry.state == State::incomplete) {
    if ((words_[index].fetch_and(~kWanted, std::memory_order_acq_rel) & kWanted) != 0) {
      entry.used = entry.awaited = now;
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
  const bool pinned = index < kGateways;
  if (pinned) entry.used = now;
  note_use(index, now);
  const bool known = entry.state != State::incomplete;
  const std::uint64_t unused = elapsed(entry.used, now);
  if (unused >= (known ? kIdleSeconds : kUnansweredSeconds) * tsc_hz_) {
    release(index);
    return std::nullopt;
  }
  if (known && entry.state != State::doubted) {
    const bool fresh = elapsed(entry.confirmed, now) < kFreshSeconds * tsc_hz_;
    const bool in_use = unused < 2 * kFreshSeconds * tsc_hz_;
    entry.state = fresh || !in_use ? State::reachable : State::probing;
    if (entry.state == State::reachable) {
      entry.tries = 0;
      return std::nullopt;
    }
  }
  if (now < entry.due) return std::nullopt;
  return solicit(index, now);
}

Solicitation NeighborTable::solicit(std::size_t index, Tsc now) {
  Entry& entry = entries_[index];
  const bool doubted = entry.state == State::doubted;
  entry.broadcast =
      entry.state == State::incomplete || entry.tries >= (doubted ? kDoubtTries : kUnicastTries);
  Solicitation request{source_for(entry.address), entry.address, std::nullopt};
  if (!entry.broadcast) request.to = mac_of(index);
  if (entry.tries < kQuickTries) ++entry.tries;
  std::uint64_t pause = (entry.tries < kQuickTries ? kQuickSeconds : kSlowSeconds) * tsc_hz_;
  if (doubted && !entry.broadcast) pause = doubt_pause(tsc_hz_);
  entry.requested = now;
  entry.due = Tsc{now.ticks + pause};
  return request;
}

std::optional<Solicitation> NeighborTable::announcement(Tsc now) {
  if (announced_ == kAnnouncements * addresses_.size()) return std::nullopt;
  // One round over all addresses, then a pause of 1.5 s.
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
  ticked_ = now;
  next_tick_.store(now.ticks + tsc_hz_ / 10, std::memory_order_relaxed);
  std::size_t count = 0;
  const auto visit = [&](std::size_t index) {
    if (const std::optional<Solicitation> request = age(index, now)) out[count++] = *request;
  };
  while (count < out.size()) {
    const std::optional<Solicitation> request = announcement(now);
    if (!request) break;
    out[count++] = *request;
  }
  // Gateways, then entries in use or awaited, then unresolved entries.
  for (std::size_t i = 0; i < kGateways && count < out.size(); ++i) visit(i);
  for (std::size_t i = 0; i < kHashed && count < out.size(); ++i) {
    const std::size_t index = kGateways + hand_;
    hand_ = (hand_ + 1) % kHashed;
    if (entries_[index].state != State::incomplete || is_awaited(index, now)) visit(index);
  }
  for (std::size_t i = 0; i < kUnresolved && count < out.size(); ++i) {
    const Pending& pending = pending_[pending_hand_];
    pending_hand_ = (pending_hand_ + 1) % kUnresolved;
    if (is_unresolved(pending)) visit(pending.index);
  }
  return count;
}

std::vector<NeighborReport> NeighborTable::report(Tsc now) const {
  std::vector<NeighborReport> all;
  all.reserve(kCapacity);  // allocate before taking the lock
  const Lock lock(locked_, Lock::Wait::until_free);
  for (std::size_t i = 0; i < kCapacity; ++i) {
    const Entry& entry = entries_[i];
    if (entry.state == State::free) continue;
    NeighborReport one;
    one.address = entry.address;
    if (entry.state != State::incomplete) {
      one.mac = mac_of(i);
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

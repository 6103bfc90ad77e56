// SPDX-License-Identifier: BSD-3-Clause
#include "control/ports/port_pool.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

namespace millrace {
namespace {

// Random numbers from the kernel, fetched 256 bytes at a time: getrandom(2) returns that many
// uninterrupted by signals.
class KernelRandom {
 public:
  // Uniform in [0, bound), without modulo bias (Lemire): a product whose low half is below the
  // threshold is drawn again. Precondition: bound > 0.
  std::uint32_t below(std::uint32_t bound) {
    const std::uint32_t threshold = (0U - bound) % bound;
    for (;;) {
      const std::uint64_t product = std::uint64_t{next()} * bound;
      if (static_cast<std::uint32_t>(product) >= threshold) {
        return static_cast<std::uint32_t>(product >> 32);
      }
    }
  }

 private:
  std::uint32_t next() {
    if (used_ == words_.size()) {
      while (getrandom(words_.data(), sizeof words_, 0) != ssize_t{sizeof words_}) {
        if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "getrandom");
      }
      used_ = 0;
    }
    return std::exchange(words_[used_++], 0);
  }

  std::array<std::uint32_t, 64> words_{};
  std::size_t used_ = words_.size();
};

}  // namespace

struct PortPool::Impl {
  struct Quarantined {
    std::uint32_t pair = 0;
    Clock::time_point since;
  };

  // Pair numbers ascend by address, then by port from the first even one.
  std::vector<IpAddress> addresses;
  std::vector<MediaAddressId> ids;
  std::uint32_t first_port = 0;
  std::uint32_t pairs_per_address = 0;
  std::chrono::seconds quarantine;

  mutable std::mutex mutex;
  KernelRandom random;
  // By address, unordered: a drawn pair is replaced by the last one.
  std::vector<std::vector<std::uint32_t>> free;
  std::uint32_t free_count = 0, taken = 0;
  std::vector<bool> is_taken;  // by pair
  // Quarantine: a ring with room for every pair, oldest first, so that a release allocates nothing.
  // The last `unstamped` ones were released after the last advance().
  std::vector<Quarantined> quarantined;
  std::size_t oldest = 0, quarantined_count = 0, unstamped = 0;

  Impl(const Interface& interface, std::chrono::seconds rest)
      : addresses(interface.addresses), ids(interface.ids), quarantine(rest) {
    const std::uint32_t low = std::max<std::uint32_t>(interface.port_min.number(), 2);
    const std::uint32_t end = interface.port_max.number() + 1U;
    first_port = low + low % 2;
    pairs_per_address = end > first_port ? (end - first_port) / 2 : 0;
    free.resize(addresses.size());
    for (std::vector<std::uint32_t>& of_address : free) {
      of_address.reserve(pairs_per_address);
      for (std::uint32_t i = 0; i < pairs_per_address; ++i) of_address.push_back(free_count++);
    }
    quarantined.resize(free_count);
    is_taken.resize(free_count);
  }

  Quarantined& at(std::size_t n) { return quarantined[(oldest + n) % quarantined.size()]; }

  void advance(Clock::time_point now) {
    for (; unstamped > 0; --unstamped) at(quarantined_count - unstamped).since = now;
    for (; quarantined_count > 0 && now - at(0).since >= quarantine; --quarantined_count) {
      free[at(0).pair / pairs_per_address].push_back(at(0).pair);
      ++free_count;
      oldest = (oldest + 1) % quarantined.size();
    }
  }

  // Number `nth` of the free pairs. Precondition: nth < free_count.
  std::uint32_t take(std::uint32_t nth) {
    std::size_t address = 0;
    for (; nth >= free[address].size(); ++address) {
      nth -= static_cast<std::uint32_t>(free[address].size());
    }
    return take(address, nth);
  }
  std::uint32_t take(std::size_t address, std::uint32_t nth) {
    const std::uint32_t pair = std::exchange(free[address][nth], free[address].back());
    free[address].pop_back();
    --free_count;
    ++taken;
    is_taken[pair] = true;
    return pair;
  }
  std::optional<std::uint32_t> draw(const std::optional<IpAddress>& on) {
    if (!on) return free_count == 0 ? std::nullopt : std::optional(take(random.below(free_count)));
    const auto found = std::ranges::find(addresses, *on);
    if (found == addresses.end()) return std::nullopt;
    const auto address = static_cast<std::size_t>(found - addresses.begin());
    const auto count = static_cast<std::uint32_t>(free[address].size());
    return count == 0 ? std::nullopt : std::optional(take(address, random.below(count)));
  }

  void release(std::uint32_t pair) {
    const std::lock_guard lock(mutex);
    at(quarantined_count++).pair = pair;
    ++unstamped;
    --taken;
    is_taken[pair] = false;
  }
};

PortPool::PortPool(const Interface& interface, std::chrono::seconds quarantine)
    : impl_(std::make_unique<Impl>(interface, quarantine)) {}

PortPool::~PortPool() = default;

PortPair PortPool::take(Clock::time_point now, const std::optional<IpAddress>& on) {
  Impl& pool = *impl_;
  const std::lock_guard lock(pool.mutex);
  pool.advance(now);
  const std::optional<std::uint32_t> pair = pool.draw(on);
  if (!pair) return {};
  const std::uint32_t address = *pair / pool.pairs_per_address;
  const auto port =
      static_cast<std::uint16_t>(pool.first_port + 2 * (*pair % pool.pairs_per_address));
  return {{pool.ids[address], UdpPort(port)}};
}

void PortPool::give_back(PortPair pair) noexcept {
  Impl& pool = *impl_;
  const auto address = std::ranges::find(pool.ids, pair.even.address) - pool.ids.begin();
  const std::uint32_t nth = (pair.even.port.number() - pool.first_port) / 2;
  pool.release(static_cast<std::uint32_t>(address) * pool.pairs_per_address + nth);
}

void PortPool::advance(Clock::time_point now) {
  const std::lock_guard lock(impl_->mutex);
  impl_->advance(now);
}

bool PortPool::is_taken(const IpAddress& address, UdpPort port) const {
  const Impl& pool = *impl_;
  const auto found = std::ranges::find(pool.addresses, address);
  if (found == pool.addresses.end() || port.number() < pool.first_port) return false;
  const std::uint32_t nth = (port.number() - pool.first_port) / 2;
  if (nth >= pool.pairs_per_address) return false;
  const auto before = static_cast<std::uint32_t>(found - pool.addresses.begin());
  const std::lock_guard lock(pool.mutex);
  return pool.is_taken[before * pool.pairs_per_address + nth];
}

std::uint64_t PortPool::used() const {
  const std::lock_guard lock(impl_->mutex);
  return 2 * std::uint64_t{impl_->taken};
}

std::uint64_t PortPool::free() const {
  const std::lock_guard lock(impl_->mutex);
  return 2 * std::uint64_t{impl_->free_count};
}

}  // namespace millrace

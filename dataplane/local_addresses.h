// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The own addresses on a NIC, to be found by what a packet is addressed to: the four bytes of an
// IPv4 address, or the two words of an IPv6 one. Open addressing, less than half full.

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/flow_table.h"
#include "dataplane/link.h"
#include "dataplane/net.h"

namespace millrace {

using AddressKeyV4 = std::uint32_t;
using AddressKeyV6 = std::array<std::uint64_t, 2>;

namespace detail {

inline std::size_t hash(std::uint32_t key) {
  const std::uint32_t mixed = key * 0x9e37'79b1U;
  return mixed;
}
inline std::size_t hash(const std::array<std::uint64_t, 2>& key) {
  return ((key[0] ^ key[1]) * 0x9e37'79b9'7f4a'7c15) >> 32;
}

// std::array's own comparison is a call of memcmp.
inline bool same(std::uint32_t a, std::uint32_t b) { return a == b; }
inline bool same(const std::array<std::uint64_t, 2>& a, const std::array<std::uint64_t, 2>& b) {
  return a[0] == b[0] && a[1] == b[1];
}

}  // namespace detail

template <typename Key>
class LocalAddresses {
 public:
  struct Found {
    Key key{};  // zero = nothing here
    Slot* slots = nullptr;
  };
  // By value: a burst keeps it in registers.
  struct Index {
    const Found* table;
    std::size_t mask;
    unsigned shift;

    // The slots of the address, or null if it is not one of them.
    [[nodiscard, gnu::always_inline]] const Found* find(const Key& key) const {
      for (std::size_t at = detail::hash(key) >> shift;; at = (at + 1) & mask) {
        const Found& found = table[at];
        if (detail::same(found.key, key)) [[likely]]
          return &found;
        if (detail::same(found.key, Key{})) return nullptr;
      }
    }
  };

  LocalAddresses(std::span<Link* const> links, std::size_t nic, const FlowTable& flows) {
    constexpr Family family = std::same_as<Key, AddressKeyV4> ? Family::ipv4 : Family::ipv6;
    std::vector<Found> all;
    for (const Link* link : links) {
      for (std::size_t i = 0; link->nic == nic && i < link->addresses.size(); ++i) {
        const IpAddress& address = link->addresses[i].address;
        if (address.family() != family) continue;
        Found found{.slots = flows.slots(MediaAddressId(
                        static_cast<std::uint16_t>(std::to_underlying(link->first) + i)))};
        const std::span<const std::uint8_t> bytes(address.bytes());
        std::memcpy(&found.key, bytes.last(sizeof(Key)).data(), sizeof(Key));
        all.push_back(found);
      }
    }
    const std::size_t size = std::bit_ceil(2 * all.size() + 1);
    table_.resize(size);
    index_ = {table_.data(), size - 1, 32 - static_cast<unsigned>(std::countr_zero(size))};
    for (const Found& found : all) {
      std::size_t at = detail::hash(found.key) >> index_.shift;
      while (table_[at].key != Key{}) at = (at + 1) % size;
      table_[at] = found;
    }
  }

  [[nodiscard]] Index index() const { return index_; }

 private:
  std::vector<Found> table_;
  Index index_;
};

}  // namespace millrace

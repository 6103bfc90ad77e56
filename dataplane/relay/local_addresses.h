// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The local addresses of a NIC, looked up by the destination address of each packet: the four bytes
// of an IPv4 address, or the two words of an IPv6 one. A hash table with open addressing, less than
// half full, made at start and never changed. It is doubled until the first probe finds each
// address, so only that look-up is inlined: each packet to a displaced address pays for a call.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "dataplane/base/net.h"
#include "dataplane/flow/flow_table.h"
#include "dataplane/host/link.h"
#include "dataplane/wire/bytes.h"

namespace millrace {

// As in a packet. Zero is no host's address.
template <Family F>
using AddressKey =
    std::conditional_t<F == Family::ipv4, std::uint32_t, std::array<std::uint64_t, 2>>;

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

template <Family F>
class LocalAddresses {
 public:
  using Key = AddressKey<F>;
  // The size is a power of two: a hash is made a byte offset by one shift and one mask.
  struct alignas(F == Family::ipv4 ? 16 : 32) Entry {
    Key key{};
    Slot* slots = nullptr;  // of that address; null = empty
  };
  // By value: a burst keeps it in registers.
  struct Index {
    const Entry* entries;
    unsigned shift;  // leaves a byte offset, and bits below the entry's size

    // Whether `key` is a local address, and its slots. The key of an empty first entry never
    // matches: it hashes elsewhere.
    [[nodiscard, gnu::always_inline]] bool find(const Key& key, Slot*& found) const {
      const std::size_t offset = (detail::hash(key) >> shift) & -sizeof(Entry);
      const auto* entry =
          reinterpret_cast<const Entry*>(reinterpret_cast<const std::byte*>(entries) + offset);
      found = entry->slots;
      if (detail::same(entry->key, key)) [[likely]]
        return true;
      found = find_further(entries, shift, key);
      return found != nullptr;
    }

   private:
    // Static: a call of a member would keep the index in memory.
    [[nodiscard, gnu::noinline, gnu::cold]] static Slot* find_further(const Entry* entries,
                                                                      unsigned shift, Key key) {
      const std::size_t mask = (std::size_t{1} << (32 - shift)) / sizeof(Entry) - 1;
      std::size_t at = (detail::hash(key) >> shift) / sizeof(Entry);
      while (entries[at].slots != nullptr && !detail::same(entries[at].key, key))
        at = (at + 1) & mask;
      return entries[at].slots;
    }
  };

  LocalAddresses(std::span<Link* const> links, std::size_t nic, const FlowTable& flows) {
    std::vector<Entry> all;
    for (const Link* link : links) {
      for (std::size_t i = 0; link->nic == nic && i < link->addresses.size(); ++i) {
        const IpAddress& address = link->addresses[i].address;
        if (address.family() != F) continue;
        const MediaAddressId id{static_cast<std::uint16_t>(std::to_underlying(link->first) + i)};
        const auto bytes = std::as_bytes(std::span(address.bytes()));
        all.push_back({.key = load<Key>(bytes.last(sizeof(Key)).data()), .slots = flows.slots(id)});
      }
    }
    std::size_t size = std::bit_ceil(2 * all.size() + 2);
    while (!fill(all, size) && size < kLargest) size *= 2;
  }

  [[nodiscard]] Index index() const { return {entries_.data(), shift_}; }

 private:
  static constexpr Key kElsewhere{1};                            // hashes to the upper half
  static constexpr std::size_t kLargest = std::size_t{1} << 16;  // entries

  // Whether the first probe finds each address.
  bool fill(std::span<const Entry> all, std::size_t size) {
    entries_.assign(size, {});
    entries_[0].key = kElsewhere;  // zero hashes to this entry
    shift_ = 32 - static_cast<unsigned>(std::countr_zero(size * sizeof(Entry)));
    bool direct = true;
    for (const Entry& own : all) {
      const std::size_t first = (detail::hash(own.key) >> shift_) / sizeof(Entry);
      std::size_t at = first;
      while (entries_[at].slots != nullptr) at = (at + 1) % size;
      entries_[at] = own;
      direct &= at == first;
    }
    return direct;
  }

  std::vector<Entry> entries_;
  unsigned shift_;
};

}  // namespace millrace

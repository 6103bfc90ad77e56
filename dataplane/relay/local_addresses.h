// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The own addresses on a NIC, to be found by what a packet is addressed to: the four bytes of an
// IPv4 address, or the two words of an IPv6 one. Open addressing, less than half full.

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

// As in a packet. Zero is nobody's address.
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
  struct Place {
    Key key{};
    Slot* slots = nullptr;  // of that address; null = nothing here
  };
  // By value: a burst keeps it in registers.
  struct Index {
    const Place* places;
    std::size_t mask;
    unsigned shift;

    // Whether it is one of the addresses, and its slots. No key is found at the first place that is
    // tried if there is nothing: that place has a key that belongs elsewhere.
    [[nodiscard, gnu::always_inline]] bool find(const Key& key, Slot*& found) const {
      std::size_t at = detail::hash(key) >> shift;
      found = places[at].slots;
      if (detail::same(places[at].key, key)) [[likely]]
        return true;
      while (found != nullptr && !detail::same(places[at].key, key)) {
        at = (at + 1) & mask;
        found = places[at].slots;
      }
      return found != nullptr;
    }
  };

  LocalAddresses(std::span<Link* const> links, std::size_t nic, const FlowTable& flows) {
    std::vector<Place> all;
    for (const Link* link : links) {
      for (std::size_t i = 0; link->nic == nic && i < link->addresses.size(); ++i) {
        const IpAddress& address = link->addresses[i].address;
        if (address.family() != F) continue;
        const MediaAddressId id{static_cast<std::uint16_t>(std::to_underlying(link->first) + i)};
        const auto bytes = std::as_bytes(std::span(address.bytes()));
        all.push_back({.key = load<Key>(bytes.last(sizeof(Key)).data()), .slots = flows.slots(id)});
      }
    }
    const std::size_t size = std::bit_ceil(2 * all.size() + 2);
    places_.resize(size);  // zero belongs to the first place,
    places_[0].key = kElsewhere;
    shift_ = 32 - static_cast<unsigned>(std::countr_zero(size));
    for (const Place& own : all) {
      std::size_t at = detail::hash(own.key) >> shift_;
      while (places_[at].slots != nullptr) at = (at + 1) % size;
      places_[at] = own;
    }
  }

  [[nodiscard]] Index index() const { return {places_.data(), places_.size() - 1, shift_}; }

 private:
  static constexpr Key kElsewhere{1};  // and this to one in the upper half

  std::vector<Place> places_;
  unsigned shift_;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Values in the bytes of a packet.
//
// The fields of a header lie wherever the packet begins, so they are copied, never pointed at; the
// compiler makes one load or store of each copy. load() and store() keep bytes as they are on the
// wire, in integers, in Be16 and Be32, or in a header's struct as a whole; load_be16() and
// load_be32() yield numbers. Nothing is checked here: the bytes are there, as whoever calls has
// found by the packet's length.
// All are inlined at once: g++ takes a branch with a call in it for the less likely one and moves
// it aside, and does so before it inlines others.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dataplane/base/net.h"

namespace millrace {

template <typename T>
[[nodiscard, gnu::always_inline]] inline T load(const std::byte* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
[[gnu::always_inline]] inline void store(std::byte* to, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
}

[[nodiscard, gnu::always_inline]] inline std::uint16_t load_be16(const std::byte* from) {
  return load<Be16>(from).host();
}

[[nodiscard, gnu::always_inline]] inline std::uint32_t load_be32(const std::byte* from) {
  return load<Be32>(from).host();
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Unaligned loads and stores of packet bytes.
//
// Header fields may be unaligned, so they are copied, never accessed by pointer. The compiler turns
// each copy into one load or store. load() and store() keep network byte order: in integers, in
// Be16 and Be32, or in a whole header struct. load_be16() and load_be32() return host order.
// Nothing is checked here: the caller must have checked the packet's length.
// All functions are always_inline: g++ predicts a branch that contains a call as unlikely and moves
// it out of line, and does so before it inlines other functions.

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

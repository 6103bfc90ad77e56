// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The Internet checksum (RFC 1071), full and incremental (RFC 1624).
//
// All values are in network byte order: ones' complement addition is independent of byte order
// (RFC 1071 section 2 (B)), so nothing is swapped. The `delta` of a header change is the sum of
// ~old + new over its 16-bit words. A delta that is the same for all packets of a flow is computed
// once and applied to every packet.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/wire/bytes.h"

namespace millrace {

// Folds a sum to 16 bits. A value plus itself rotated by half its width has, in the upper half, the
// sum of both halves with the carry added in.
[[nodiscard]] constexpr std::uint16_t fold(std::uint64_t sum) {
  const auto half = static_cast<std::uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  return static_cast<std::uint16_t>((half + std::rotl(half, 16)) >> 16);
}

// The sum of the 16-bit words of `bytes`. An odd last byte is padded with zero.
[[nodiscard]] inline std::uint16_t ones_sum(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0;
  for (; bytes.size() >= 2; bytes = bytes.subspan(2)) {
    sum += load<std::uint16_t>(bytes.data());
  }
  if (!bytes.empty()) sum += load<std::uint8_t>(bytes.data());
  return fold(sum);
}

// The value of a checksum field that was zero when `bytes` were summed.
[[nodiscard]] inline std::uint16_t checksum(std::span<const std::byte> bytes) {
  return static_cast<std::uint16_t>(~ones_sum(bytes));
}

// The sum of an IPv4 header without options, not folded. Carries out of 64 bits are added in.
[[nodiscard]] inline std::uint64_t ipv4_sum(const std::byte* header) {
  const auto first = load<std::uint64_t>(header);
  const auto second = load<std::uint64_t>(header + 8);
  const auto third = load<std::uint32_t>(header + 16);
  std::uint64_t sum = 0;
  const bool one = __builtin_add_overflow(first, second, &sum);
  const bool two = __builtin_add_overflow(sum, std::uint64_t{third} + one, &sum);
  return sum + two;
}

// Whether the header's checksum is correct, i.e. its sum is all ones. Ones' complement sums over
// words of any width are equal if they are equal modulo 0xffff.
[[nodiscard]] inline bool ipv4_checksum_ok(const std::byte* header) {
  return ipv4_sum(header) % 0xffff == 0;
}

// The header's checksum. Precondition: its checksum field is zero.
[[nodiscard]] inline std::uint16_t ipv4_checksum(const std::byte* header) {
  return static_cast<std::uint16_t>(~fold(ipv4_sum(header)));
}

// The change of one word. Callers add deltas and fold the sum.
[[nodiscard]] constexpr std::uint32_t word_delta(std::uint16_t before, std::uint16_t after) {
  return static_cast<std::uint32_t>(static_cast<std::uint16_t>(~before)) + after;
}

// RFC 1624 equation 3, HC' = ~(~HC + ~m + m'), as ones' complement subtraction of the delta with
// end-around borrow.
[[nodiscard]] constexpr std::uint16_t updated_checksum(std::uint16_t before, std::uint16_t delta) {
  return static_cast<std::uint16_t>(before - delta - (before < delta ? 1 : 0));
}

// The same by adding the complement of the delta with end-around carry. The result is zero only if
// both operands are zero.
[[nodiscard]] constexpr std::uint16_t added_checksum(std::uint16_t before,
                                                     std::uint16_t complement) {
  std::uint16_t sum = 0;
  const bool carry = __builtin_add_overflow(before, complement, &sum);
  return static_cast<std::uint16_t>(sum + carry);
}

// UDP over IPv4: zero means "no checksum" and stays zero; a computed zero is sent as all ones
// (RFC 768).
[[nodiscard]] constexpr std::uint16_t updated_udp_checksum(std::uint16_t before,
                                                           std::uint16_t delta) {
  if (before == 0) return 0;
  return added_checksum(before, static_cast<std::uint16_t>(~delta));
}

}  // namespace millrace

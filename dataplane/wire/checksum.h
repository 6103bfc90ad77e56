// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The Internet checksum (RFC 1071), whole and incremental (RFC 1624).
//
// All values are as on the wire: ones' complement addition does not care about byte order
// (RFC 1071 section 2 (B)), so nothing is swapped. A change to a header is a sum of ~old + new over
// its 16-bit words, the `delta`; where the changes are known beforehand it is computed once and
// applied to every packet.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/wire/bytes.h"

namespace millrace {

// A sum in 16 bits: adding a value to itself rotated by half leaves, in the upper half, the sum of
// both halves with its carry added in.
[[nodiscard]] constexpr std::uint16_t fold(std::uint64_t sum) {
  const auto half = static_cast<std::uint32_t>((sum + std::rotl(sum, 32)) >> 32);
  return static_cast<std::uint16_t>((half + std::rotl(half, 16)) >> 16);
}

// The sum of the 16-bit words of `bytes`; an odd last byte counts as followed by zero.
[[nodiscard]] inline std::uint16_t ones_sum(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0;
  for (; bytes.size() >= 2; bytes = bytes.subspan(2)) {
    sum += load<std::uint16_t>(bytes.data());
  }
  if (!bytes.empty()) sum += load<std::uint8_t>(bytes.data());
  return fold(sum);
}

// What to write into a checksum field that was zero when `bytes` were summed.
[[nodiscard]] inline std::uint16_t checksum(std::span<const std::byte> bytes) {
  return static_cast<std::uint16_t>(~ones_sum(bytes));
}

// The sum of an IPv4 header without options, not folded: the carries out of 64 bits are added in.
[[nodiscard]] inline std::uint64_t ipv4_sum(const std::byte* header) {
  const auto first = load<std::uint64_t>(header);
  const auto second = load<std::uint64_t>(header + 8);
  const auto third = load<std::uint32_t>(header + 16);
  std::uint64_t sum = 0;
  const bool one = __builtin_add_overflow(first, second, &sum);
  const bool two = __builtin_add_overflow(sum, std::uint64_t{third} + one, &sum);
  return sum + two;
}

// Whether it is all ones, i.e. the header's checksum is right. Ones' complement sums are equal when
// they are modulo 0xffff, in words of any width.
[[nodiscard]] inline bool ipv4_checksum_ok(const std::byte* header) {
  return ipv4_sum(header) % 0xffff == 0;
}

// What to write into its checksum field, which is zero.
[[nodiscard]] inline std::uint16_t ipv4_checksum(const std::byte* header) {
  return static_cast<std::uint16_t>(~fold(ipv4_sum(header)));
}

// The change of one word; deltas are added up and folded.
[[nodiscard]] constexpr std::uint32_t word_delta(std::uint16_t before, std::uint16_t after) {
  return static_cast<std::uint32_t>(static_cast<std::uint16_t>(~before)) + after;
}

// The change of four bytes, as of an IPv4 address.
[[nodiscard]] constexpr std::uint32_t dword_delta(std::uint32_t before, std::uint32_t after) {
  return word_delta(static_cast<std::uint16_t>(before), static_cast<std::uint16_t>(after)) +
         word_delta(static_cast<std::uint16_t>(before >> 16),
                    static_cast<std::uint16_t>(after >> 16));
}

// RFC 1624 equation 3, HC' = ~(~HC + ~m + m'), is ones' complement subtraction of the delta: the
// borrow goes round.
[[nodiscard]] constexpr std::uint16_t updated_checksum(std::uint16_t before, std::uint16_t delta) {
  return static_cast<std::uint16_t>(before - delta - (before < delta ? 1 : 0));
}

// The same by adding the complement of the delta, whose carry goes round: zero comes out of zeros
// alone.
[[nodiscard]] constexpr std::uint16_t added_checksum(std::uint16_t before,
                                                     std::uint16_t complement) {
  std::uint16_t sum = 0;
  const bool carry = __builtin_add_overflow(before, complement, &sum);
  return static_cast<std::uint16_t>(sum + carry);
}

// For UDP over IPv4 zero means "no checksum" and stays; a sum that comes out as zero is sent as all
// ones (RFC 768).
[[nodiscard]] constexpr std::uint16_t updated_udp_checksum(std::uint16_t before,
                                                           std::uint16_t delta) {
  if (before == 0) return 0;
  return added_checksum(before, static_cast<std::uint16_t>(~delta));
}

}  // namespace millrace

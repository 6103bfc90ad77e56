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
#include <cstring>
#include <span>

namespace millrace {

[[nodiscard]] constexpr std::uint16_t fold(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

// The sum of the 16-bit words of `bytes`; an odd last byte counts as followed by zero.
[[nodiscard]] inline std::uint16_t ones_sum(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0;
  for (; bytes.size() >= 2; bytes = bytes.subspan(2)) {
    std::uint16_t word;
    std::memcpy(&word, bytes.data(), 2);
    sum += word;
  }
  if (!bytes.empty()) {
    std::uint16_t word = 0;
    std::memcpy(&word, bytes.data(), 1);
    sum += word;
  }
  return fold(sum);
}

// What to write into a checksum field that was zero when `bytes` were summed.
[[nodiscard]] inline std::uint16_t checksum(std::span<const std::byte> bytes) {
  return static_cast<std::uint16_t>(~ones_sum(bytes));
}

// Whether an IPv4 header without options sums up to all ones, i.e. its checksum is right.
[[nodiscard]] inline bool ipv4_checksum_ok(const std::byte* header) {
  std::uint64_t a, b;
  std::uint32_t c;
  std::memcpy(&a, header, 8);
  std::memcpy(&b, header + 8, 8);
  std::memcpy(&c, header + 16, 4);
  // Two 64-bit words and a 32-bit one, the carries added back in.
  std::uint64_t sum = a + b;
  sum += sum < b;
  sum += c;
  sum += sum < c;
  sum = (sum >> 32) + (sum & 0xffffffff);  // at most 33 bits
  return fold(sum) == 0xffff;
}

// The change of one word.
[[nodiscard]] constexpr std::uint32_t word_delta(std::uint16_t before, std::uint16_t after) {
  return static_cast<std::uint32_t>(static_cast<std::uint16_t>(~before)) + after;
}

// The change of four bytes, as of an IPv4 address.
[[nodiscard]] constexpr std::uint32_t dword_delta(std::uint32_t before, std::uint32_t after) {
  return word_delta(static_cast<std::uint16_t>(before), static_cast<std::uint16_t>(after)) +
         word_delta(static_cast<std::uint16_t>(before >> 16),
                    static_cast<std::uint16_t>(after >> 16));
}

// RFC 1624 equation 3: HC' = ~(~HC + ~m + m').
[[nodiscard]] constexpr std::uint16_t updated_checksum(std::uint16_t before, std::uint32_t delta) {
  std::uint32_t sum = static_cast<std::uint16_t>(~before) + delta;
  sum = (sum & 0xffff) + (sum >> 16);
  sum += sum >> 16;
  return static_cast<std::uint16_t>(~sum);
}

// The same for UDP over IPv4: zero means "no checksum" and stays; a sum that comes out as zero is
// sent as all ones (RFC 768).
[[nodiscard]] constexpr std::uint16_t updated_udp_checksum(std::uint16_t before,
                                                           std::uint32_t delta) {
  if (before == 0) return 0;
  const std::uint16_t after = updated_checksum(before, delta);
  return after == 0 ? std::uint16_t{0xffff} : after;
}

}  // namespace millrace

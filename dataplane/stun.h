// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// STUN is recognised, not spoken: a message passes between the sides as an opaque datagram.

#include <cstddef>
#include <cstdint>
#include <span>

namespace millrace {

// RFC 8489 section 5: two zero bits, a length that is a multiple of four and is that of what
// follows the 20-byte header, and the magic cookie. Messages of RFC 3489, which have no cookie,
// are not recognised.
[[nodiscard]] inline bool is_stun(std::span<const std::byte> datagram) {
  constexpr std::size_t kHeader = 20;
  if (datagram.size() < kHeader || (datagram[0] & std::byte{0xc0}) != std::byte{0}) return false;
  const std::size_t length =
      std::to_integer<std::size_t>(datagram[2]) << 8 | std::to_integer<std::size_t>(datagram[3]);
  return length % 4 == 0 && length == datagram.size() - kHeader && datagram[4] == std::byte{0x21} &&
         datagram[5] == std::byte{0x12} && datagram[6] == std::byte{0xa4} &&
         datagram[7] == std::byte{0x42};
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// STUN is recognised, not spoken: a message passes between the sides as an opaque datagram.

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/wire/bytes.h"

namespace millrace {

// RFC 8489 section 5: two zero bits, a length that is a multiple of four and is that of what
// follows the 20-byte header, and the magic cookie. Messages of RFC 3489, which have no cookie,
// are not recognised.
[[nodiscard]] inline bool is_stun(std::span<const std::byte> datagram) {
  constexpr std::size_t kHeader = 20;
  constexpr std::uint32_t kCookie = 0x2112a442;
  if (datagram.size() < kHeader || (datagram[0] & std::byte{0xc0}) != std::byte{0}) return false;
  const std::size_t length = load_be16(datagram.data() + 2);
  return length % 4 == 0 && length == datagram.size() - kHeader &&
         load_be32(datagram.data() + 4) == kCookie;
}

}  // namespace millrace

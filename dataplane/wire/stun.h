// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Recognises STUN messages. The relay forwards them between the parties as opaque datagrams and
// never answers them.

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/wire/bytes.h"

namespace millrace {

// RFC 8489 section 5: two leading zero bits, the magic cookie, and a length that is a multiple of
// four and equals the bytes after the 20-byte header. RFC 3489 messages have no cookie and are not
// recognised.
[[nodiscard]] inline bool is_stun(std::span<const std::byte> datagram) {
  constexpr std::size_t kHeader = 20;
  constexpr std::uint32_t kCookie = 0x2112a442;
  if (datagram.size() < kHeader || (datagram[0] & std::byte{0xc0}) != std::byte{0}) return false;
  const std::size_t length = load_be16(datagram.data() + 2);
  return length % 4 == 0 && length == datagram.size() - kHeader &&
         load_be32(datagram.data() + 4) == kCookie;
}

}  // namespace millrace

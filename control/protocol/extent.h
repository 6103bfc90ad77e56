// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Result of framing: size of the first message or value of a buffer, if complete.
//
// `incomplete`: more bytes may complete it; the caller retries with a longer buffer. `malformed`:
// no further bytes can. Shared by frame() of all codecs (codec.h) and by the scanners of bencode
// and JSON, which report their limits of size and depth as `malformed`.

#include <cstddef>
#include <cstdint>

namespace millrace {

struct Extent {
  enum class State : std::uint8_t { incomplete, complete, malformed };
  State state = State::incomplete;
  std::size_t size = 0;  // if complete
  friend constexpr bool operator==(const Extent&, const Extent&) = default;
};

}  // namespace millrace

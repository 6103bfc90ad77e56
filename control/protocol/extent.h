// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Where the first message, or value, at the front of a buffer ends: what every framing answers.

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

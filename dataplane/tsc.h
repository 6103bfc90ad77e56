// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A time on the time stamp counter. Workers read it once per burst and pass it down. Time is a
// parameter of the packet path: a burst has one time, and tests need no sleep.

#include <compare>
#include <cstdint>

namespace millrace {

struct Tsc {
  std::uint64_t ticks = 0;
  friend constexpr auto operator<=>(Tsc, Tsc) = default;
};

// Ticks from `then` to `now`. 0 if `then` is later, as it may be by a few ticks across cores.
[[nodiscard]] constexpr std::uint64_t elapsed(Tsc then, Tsc now) {
  return now > then ? now.ticks - then.ticks : 0;
}

}  // namespace millrace

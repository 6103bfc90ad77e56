// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A moment on the time stamp counter. Workers read it once a burst and hand it down: in the packet
// path time is a parameter, so tests need no sleep and a burst has one time.

#include <compare>
#include <cstdint>

namespace millrace {

struct Tsc {
  std::uint64_t ticks = 0;
  friend constexpr auto operator<=>(Tsc, Tsc) = default;
};

// Ticks from `then` to `now`; zero when `then` lies ahead, as it may by a few ticks across cores.
[[nodiscard]] constexpr std::uint64_t elapsed(Tsc then, Tsc now) {
  return now > then ? now.ticks - then.ticks : 0;
}

}  // namespace millrace

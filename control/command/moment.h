// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A point in time on two clocks: the wall clock for printing, the monotonic one for differences.
//
// The wall clock may be stepped during a call. Durations and ages are differences of two moments,
// so a step does not affect them.

#include <chrono>
#include <compare>

namespace millrace {

struct Moment {
  std::chrono::system_clock::time_point wall;
  std::chrono::steady_clock::time_point steady;

  // `now` with the current time of the wall clock.
  [[nodiscard]] static Moment at(std::chrono::steady_clock::time_point now) {
    return {std::chrono::system_clock::now(), now};
  }
  [[nodiscard]] bool is_set() const { return *this != Moment(); }

  friend std::chrono::nanoseconds operator-(const Moment& a, const Moment& b) {
    return a.steady - b.steady;
  }
  friend bool operator==(const Moment& a, const Moment& b) { return a.steady == b.steady; }
  friend auto operator<=>(const Moment& a, const Moment& b) { return a.steady <=> b.steady; }
};

}  // namespace millrace

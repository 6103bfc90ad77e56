// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A moment by two clocks: the wall clock's time is printed, the monotonic one's subtracted.
//
// The wall clock may be stepped while a call lives. A duration or an age is a difference of two
// moments, so it never sees that.

#include <chrono>
#include <compare>

namespace millrace {

struct Moment {
  std::chrono::system_clock::time_point wall;
  std::chrono::steady_clock::time_point steady;

  // `now`, with the wall clock's time beside it.
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

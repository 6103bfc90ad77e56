// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// How fast something that is counted grows, over periods of about the same length.
//
// Whoever looks at the count now and then hands it in; the speed is that of the last whole period,
// and zero in the first one. Thread-safe.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace millrace {

class Speed {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Speed(std::chrono::milliseconds period, Time now) : period_(period), measured_(now) {}

  // `count()` is asked for the count by now, once a period.
  template <typename Count>
  void measure(Time now, Count&& count) {
    const std::lock_guard lock(mutex_);
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - measured_);
    if (passed < period_) return;
    const std::uint64_t counted = count();
    a_second_ = (counted - counted_) * 1000 / static_cast<std::uint64_t>(passed.count());
    counted_ = counted;
    measured_ = now;
  }
  [[nodiscard]] std::uint64_t a_second() const { return a_second_; }

 private:
  const std::chrono::milliseconds period_;
  std::mutex mutex_;
  Time measured_;
  std::uint64_t counted_ = 0;
  std::atomic<std::uint64_t> a_second_ = 0;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Rate of a counter, averaged over periods of about equal length.
//
// The caller calls measure() regularly. The rate is that of the last complete period, and zero in
// the first one. Thread-safe.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace millrace {

class Speed {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Speed(std::chrono::milliseconds period, Time now) : period_(period), measured_(now) {}

  // Calls `count()` for the current count once per period.
  template <typename Count>
  void measure(Time now, Count&& count) {
    const std::lock_guard lock(mutex_);
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - measured_);
    if (passed < period_) return;
    const std::uint64_t counted = count();
    per_second_ = (counted - counted_) * 1000 / static_cast<std::uint64_t>(passed.count());
    counted_ = counted;
    measured_ = now;
  }
  [[nodiscard]] std::uint64_t per_second() const { return per_second_; }

 private:
  const std::chrono::milliseconds period_;
  std::mutex mutex_;
  Time measured_;
  std::uint64_t counted_ = 0;
  std::atomic<std::uint64_t> per_second_ = 0;
};

}  // namespace millrace

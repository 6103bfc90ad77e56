// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Send schedule of all streams: one common interval, a fixed offset per stream.
//
// Offsets are random, as calls start at random times, and sorted once. A timer wheel walks them in
// order and restarts after each interval. next() returns due packets one by one with the time at
// which they were due. Missed packets are sent late, not skipped, so the offered load is as
// configured as long as the generator keeps up.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

namespace millrace::loadgen {

class Schedule {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = std::chrono::nanoseconds;

  struct Due {
    std::uint32_t stream;
    Clock::time_point at;
  };

  Schedule(std::size_t streams, Time interval, std::uint64_t seed, Clock::time_point start)
      : interval_(interval), turn_(start) {
    std::mt19937_64 random(seed);
    std::uniform_int_distribution<std::int64_t> moment(0, interval.count() - 1);
    moments_.reserve(streams);
    for (std::uint32_t i = 0; i < streams; ++i) moments_.push_back({Time(moment(random)), i});
    std::ranges::sort(moments_, {}, &Moment::after);
  }

  [[nodiscard]] std::optional<Due> next(Clock::time_point now) {
    if (moments_.empty()) return std::nullopt;
    const Clock::time_point at = when();
    if (at > now) return std::nullopt;
    const Due due{moments_[at_].stream, at};
    if (++at_ == moments_.size()) {
      at_ = 0;
      turn_ += interval_;
    }
    return due;
  }
  // Precondition: there are streams.
  [[nodiscard]] Clock::time_point when() const { return turn_ + moments_[at_].after; }

  // Multiplies the packet rate by `factor` from the wheel's current position on.
  void speed_up(double factor, Clock::time_point now) {
    for (Moment& moment : moments_) moment.after = scaled(moment.after, factor);
    interval_ = scaled(interval_, factor);
    turn_ = moments_.empty() ? now : now - moments_[at_].after;
  }

 private:
  struct Moment {
    Time after;  // offset from the start of the interval
    std::uint32_t stream;
  };
  static Time scaled(Time time, double factor) {
    return Time(static_cast<std::int64_t>(static_cast<double>(time.count()) / factor));
  }

  std::vector<Moment> moments_;
  Time interval_;
  Clock::time_point turn_;
  std::size_t at_ = 0;
};

}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// When each stream sends: all at one interval, each at a moment of its own within it.
//
// The moments are drawn at random, as calls begin at random, and sorted once; a turn of the wheel
// walks them in order and begins anew an interval later. What is due by now is handed out one
// after the other with the time at which it was due; what was missed is made up for, not skipped,
// so the offered load is what was asked for as long as the generator keeps up at all.

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

  // From now on everything comes `factor` times as fast, or so much slower, from where the wheel
  // is.
  void speed_up(double factor, Clock::time_point now) {
    for (Moment& moment : moments_) moment.after = scaled(moment.after, factor);
    interval_ = scaled(interval_, factor);
    turn_ = moments_.empty() ? now : now - moments_[at_].after;
  }

 private:
  struct Moment {
    Time after;  // the turn's begin
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

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Time series of packets by send time, in steps of equal length.
//
// Steps of a second or more have delay quantiles. A step's histogram is discarded when the step
// after the next begins, so memory grows by one row per step only.

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "perf/load/histogram.h"
#include "perf/load/wire.h"

namespace millrace::loadgen {

class Series {
 public:
  using Time = std::chrono::nanoseconds;

  struct Step {
    std::uint64_t sent = 0, received = 0;
    Time delay_sum{}, delay_max{};
    Time delay_p50{}, delay_p99{};  // of long steps
  };

  Series(Stamp start, Time width) : start_(start), width_(width) {}

  void note_sent(Stamp at, std::uint64_t packets) { step(at).sent += packets; }
  void note_received(Stamp sent, Time delay) {
    Step& into = step(sent);
    ++into.received;
    into.delay_sum += delay;
    into.delay_max = std::max(into.delay_max, delay);
    const std::size_t number = number_of(sent);
    if (width_ >= std::chrono::seconds(1) && number >= closed_) {
      recent_[number % recent_.size()].add(delay);
    }
  }
  // Call when no more packets are expected.
  void close() { close_below(steps_.size()); }

  [[nodiscard]] const std::vector<Step>& steps() const { return steps_; }
  [[nodiscard]] Time width() const { return width_; }
  [[nodiscard]] Stamp start() const { return start_; }

 private:
  [[nodiscard]] std::size_t number_of(Stamp at) const {
    return at <= start_ ? 0 : static_cast<std::size_t>((at - start_) / width_);
  }
  Step& step(Stamp at) {
    const std::size_t number = number_of(at);
    if (number >= steps_.size()) {
      steps_.resize(number + 1);
      if (number + 1 > recent_.size()) close_below(number + 1 - recent_.size());
    }
    return steps_[number];
  }
  void close_below(std::size_t end) {
    for (; closed_ < end; ++closed_) {
      Histogram& histogram = recent_[closed_ % recent_.size()];
      steps_[closed_].delay_p50 = histogram.quantile(0.5);
      steps_[closed_].delay_p99 = histogram.quantile(0.99);
      histogram = Histogram();
    }
  }

  Stamp start_;
  Time width_;
  std::vector<Step> steps_;
  std::array<Histogram, 2> recent_;
  std::size_t closed_ = 0;  // steps below have their quantiles
};

}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#include "control/command/quality.h"

#include <chrono>
#include <cstdint>

namespace millrace {
namespace {

// Of sample averages, by how many samples each stands for; zero is unknown.
template <typename Value>
Value mean(Value one, std::uint64_t ones, Value other, std::uint64_t others, bool zero_is_unknown) {
  if (zero_is_unknown && one == Value{}) return other;
  if (zero_is_unknown && other == Value{}) return one;
  return static_cast<Value>((one * ones + other * others + (ones + others) / 2) / (ones + others));
}

}  // namespace

QualityReport merge(const QualityReport& earlier, const QualityReport& later) {
  const std::uint64_t m = earlier.samples, n = later.samples;
  if (m == 0 || n == 0) return m == 0 ? later : earlier;
  const QualitySample &a = earlier.average, &b = later.average;
  const auto micros = [&](std::chrono::microseconds x, std::chrono::microseconds y) {
    return std::chrono::microseconds(mean(static_cast<std::uint64_t>(x.count()), m,
                                          static_cast<std::uint64_t>(y.count()), n, true));
  };
  QualityReport result = later;
  result.samples = m + n;
  result.average = {.mos_tenths = mean(a.mos_tenths, m, b.mos_tenths, n, false),
                    .loss_percent = mean(a.loss_percent, m, b.loss_percent, n, false),
                    .jitter_ms = mean(a.jitter_ms, m, b.jitter_ms, n, false),
                    .round_trip = micros(a.round_trip, b.round_trip),
                    .leg = micros(a.leg, b.leg),
                    .age = b.age};
  if (earlier.lowest.mos_tenths < later.lowest.mos_tenths) result.lowest = earlier.lowest;
  if (earlier.highest.mos_tenths > later.highest.mos_tenths) result.highest = earlier.highest;
  return result;
}

}  // namespace millrace

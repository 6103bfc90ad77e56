// SPDX-License-Identifier: BSD-3-Clause
#include "control/command/quality.h"

#include <chrono>
#include <cstdint>

namespace millrace {
namespace {

// Mean of two averages, weighted by their samples. Precondition: ones + others > 0.
template <typename Value>
Value mean(Value one, std::uint64_t ones, Value other, std::uint64_t others) {
  return static_cast<Value>((one * ones + other * others + (ones + others) / 2) / (ones + others));
}

std::chrono::microseconds mean(std::chrono::microseconds one, std::uint64_t ones,
                               std::chrono::microseconds other, std::uint64_t others) {
  return std::chrono::microseconds(mean(static_cast<std::uint64_t>(one.count()), ones,
                                        static_cast<std::uint64_t>(other.count()), others));
}

}  // namespace

QualityReport merge(const QualityReport& earlier, const QualityReport& later) {
  const std::uint64_t m = earlier.samples, n = later.samples;
  if (m == 0 || n == 0) return m == 0 ? later : earlier;
  const QualitySample &a = earlier.average, &b = later.average;
  QualityReport result = earlier.complete == 0 ? later : earlier;
  result.ssrc = later.ssrc;
  result.samples = m + n;
  result.complete = earlier.complete + later.complete;
  result.average.loss_percent = mean(a.loss_percent, m, b.loss_percent, n);
  result.average.jitter_ms = mean(a.jitter_ms, m, b.jitter_ms, n);
  result.average.leg = a.leg.count() == 0   ? b.leg
                       : b.leg.count() == 0 ? a.leg
                                            : mean(a.leg, m, b.leg, n);
  if (earlier.complete == 0 || later.complete == 0) return result;
  result.average.mos_tenths = mean(a.mos_tenths, earlier.complete, b.mos_tenths, later.complete);
  result.average.round_trip = mean(a.round_trip, earlier.complete, b.round_trip, later.complete);
  if (later.lowest.mos_tenths <= earlier.lowest.mos_tenths) result.lowest = later.lowest;
  if (later.highest.mos_tenths >= earlier.highest.mos_tenths) result.highest = later.highest;
  return result;
}

}  // namespace millrace

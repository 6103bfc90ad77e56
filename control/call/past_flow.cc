// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/past_flow.h"

#include <algorithm>
#include <cstddef>
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

void age(QualitySample& sample, std::chrono::nanoseconds by) {
  sample.age += std::chrono::duration_cast<std::chrono::seconds>(by);
}

}  // namespace

QualityReport both(const QualityReport& one, const QualityReport& other) {
  const std::uint64_t m = one.samples, n = other.samples;
  if (m == 0 || n == 0) return m == 0 ? other : one;
  const QualitySample &a = one.average, &b = other.average;
  const auto micros = [&](std::chrono::microseconds x, std::chrono::microseconds y) {
    return std::chrono::microseconds(mean(static_cast<std::uint64_t>(x.count()), m,
                                          static_cast<std::uint64_t>(y.count()), n, true));
  };
  QualityReport result = other;
  result.samples = m + n;
  result.average = {.mos_tenths = mean(a.mos_tenths, m, b.mos_tenths, n, false),
                    .loss_percent = mean(a.loss_percent, m, b.loss_percent, n, false),
                    .jitter_ms = mean(a.jitter_ms, m, b.jitter_ms, n, false),
                    .round_trip = micros(a.round_trip, b.round_trip),
                    .leg = micros(a.leg, b.leg),
                    .age = b.age};
  if (one.lowest.mos_tenths < other.lowest.mos_tenths) result.lowest = one.lowest;
  if (one.highest.mos_tenths > other.highest.mos_tenths) result.highest = one.highest;
  return result;
}

bool PastFlow::empty() const {
  return flow.packets == 0 && flow.refused == 0 && flow.malformed == 0;
}

FlowReport PastFlow::with(FlowReport later, Clock::time_point now) const {
  const auto since = std::max<std::chrono::nanoseconds>(now - until, {});
  later.packets += flow.packets;
  later.bytes += flow.bytes;
  later.forwarded += flow.forwarded;
  later.stun += flow.stun;
  later.refused += flow.refused;
  later.malformed += flow.malformed;
  for (std::size_t i = 0; i < later.drops.size(); ++i) {
    const std::uint64_t sum = std::uint64_t{later.drops[i]} + flow.drops[i];
    later.drops[i] = static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, UINT32_MAX));
  }
  later.expected += flow.expected;
  later.lost += flow.lost;
  if (!later.idle && flow.idle) later.idle = *flow.idle + since;
  if (!later.ssrc) {
    later.ssrc = flow.ssrc;
    later.extended_highest_sequence = flow.extended_highest_sequence;
    later.jitter = flow.jitter;
    later.payload_type = flow.payload_type;
  }
  // Where it was heard last, as long as it has no port where it may be heard anew.
  if (!later.active) {
    later.latched = flow.latched;
    later.stranger = flow.stranger;
    if (flow.latched_for) later.latched_for = *flow.latched_for + since;
  }
  if (flow.quality && (!later.quality || later.quality->ssrc == flow.quality->ssrc)) {
    QualityReport before = *flow.quality;
    for (auto* sample : {&before.average, &before.lowest, &before.highest}) age(*sample, since);
    later.quality = later.quality ? both(before, *later.quality) : before;
  }
  return later;
}

}  // namespace millrace

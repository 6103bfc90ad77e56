// SPDX-License-Identifier: BSD-3-Clause
#include "control/leg/past_flow.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "control/command/quality.h"

namespace millrace {
namespace {

void age(QualitySample& sample, std::chrono::nanoseconds by) {
  sample.age += std::chrono::duration_cast<std::chrono::seconds>(by);
}

}  // namespace

bool PastFlow::empty() const {
  return flow.packets == 0 && flow.refused == 0 && flow.malformed == 0;
}

FlowReport PastFlow::merge(FlowReport later, Clock::time_point now) const {
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
  // The last latch, unless a current flow can latch again.
  if (!later.active) {
    later.latched = flow.latched;
    later.stranger = flow.stranger;
    if (flow.latched_for) later.latched_for = *flow.latched_for + since;
  }
  return later;
}

QualityReport PastQuality::merge(const std::optional<QualityReport>& later,
                                 PastFlow::Clock::time_point now) const {
  if (later && later->ssrc != report.ssrc) return *later;
  const auto since = std::max<std::chrono::nanoseconds>(now - until, {});
  QualityReport before = report;
  for (auto* sample : {&before.lowest, &before.highest}) age(*sample, since);
  return later ? millrace::merge(before, *later) : before;
}

}  // namespace millrace

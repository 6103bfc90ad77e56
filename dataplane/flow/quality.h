// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Reception quality from the RTCP of both parties (RFC 3550 section 6.4).
//
// A receiver report gives fraction lost and jitter of the stream that the relay sends to the party.
// LSR and DLSR refer to a sender report that passed the relay, which gives the round trip between
// relay and party: the leg. The round trip of the call is the sum of both legs.
// Every report counts for loss, jitter and the own leg. It is a complete sample once both legs are
// known. Only complete samples count for round trip and MOS (simplified E-model), kept as average,
// lowest and highest. If a party reports on several streams, only the stream that the other side
// sends now counts. A new SSRC restarts the sums. Encrypted reports cannot be read.
// Written with relaxed stores by the worker that receives the flow's RTCP, like SeenLine.
//
// Ownership. A pair of ports owns one Quality: RTCP is received on the odd port, or multiplexed on
// the even port, and may change between them during a call. Quality begins when the first of the
// two ports is published and ends when neither is: see FlowTable::withdraw().

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/report.h"
#include "dataplane/tsc.h"

namespace millrace {

// MOS, 1 to 5, by the common simplification of the E-model (ITU-T G.107) for G.711. Delay is the
// round trip plus twice the jitter plus 10 ms. R drops by 1 per 40 ms of delay up to 160 ms, by 1
// per 10 ms beyond, and by 2.5 per percent of loss.
struct Impairment {
  double loss_percent = 0;
  double jitter_ms = 0;
  double round_trip_ms = 0;
};
// Inline: a worker computes it for each report.
[[nodiscard]] inline double mean_opinion(const Impairment& impairment) {
  const double delay = impairment.round_trip_ms + 2 * impairment.jitter_ms + 10;
  double r = delay < 160 ? 93.2 - delay / 40 : 93.2 - (delay - 120) / 10;
  r = std::clamp(r - 2.5 * impairment.loss_percent, 0.0, 100.0);
  const double mos = 1 + 0.035 * r + 0.000007 * r * (r - 60) * (100 - r);
  return std::clamp(mos, 1.0, 5.0);
}

template <typename... Values>
void clear(std::atomic<Values>&... words) {
  (words.store(0, std::memory_order_relaxed), ...);
}

struct Quality {
  // Last sender report: middle 32 bits of its NTP time, and the Tsc when it was relayed. 0 = none.
  std::atomic<std::uint64_t> report_relayed{0};
  std::atomic<std::uint32_t> report_ntp{0};

  std::atomic<std::uint32_t> leg_last{0};  // microseconds, at most kMaxRoundTrip; 0 = unknown

  std::atomic<std::uint64_t> subject{0};  // reported SSRC (low 32 bits), number of samples (high)
  std::atomic<std::uint64_t> loss_sum{0};
  std::atomic<std::uint64_t> jitter_sum{0};
  std::atomic<std::uint32_t> legs{0};      // samples with the own leg
  std::atomic<std::uint32_t> complete{0};  // samples with both legs
  std::atomic<std::uint64_t> leg_sum{0};
  std::atomic<std::uint64_t> mos_sum{0};         // in tenths, of complete samples
  std::atomic<std::uint64_t> round_trip_sum{0};  // of complete samples

  // Two words: MOS (8 bits), loss (8), jitter (16), round trip (32); leg (32), second (32).
  struct Sample {
    std::atomic<std::uint64_t> values{0};
    std::atomic<std::uint64_t> leg_and_second{0};
  };
  Sample lowest, highest;  // of the complete samples
};
static_assert(sizeof(Quality) == 104);  // docs/capacity.md: memory per media address

// Updates the quality by one compound RTCP packet of a party. `own` is its quality, `peer` the
// other party's. `stream` is the SSRC that the other party sends, if known, and `clock_hz` its
// clock. Precondition: `packet` passed parse_rtcp().
void note_reports(std::span<const std::byte> packet, Quality& own, const Quality& peer,
                  std::optional<std::uint32_t> stream, std::uint32_t clock_hz, Tsc now,
                  std::uint64_t tsc_hz);

[[nodiscard]] std::optional<QualityReport> report_of(const Quality& quality, Tsc now,
                                                     std::uint64_t tsc_hz);

void reset(Quality& quality);

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the parties' RTCP says of the media they get through the relay (RFC 3550 section 6.4).
//
// A party's receiver report names the fraction it lost and the jitter it sees of the stream that
// the relay sends it. With the sender report that it answers (LSR, DLSR), which passed here too,
// the round trip between relay and party follows; both parties' legs add up to that of the call.
// Every report counts for loss, jitter and the own leg. It is a complete sample once both legs are
// known, and only complete samples count for the round trip and for the MOS (by the E-model's usual
// simplification), which are kept as average, lowest and highest. A party that reports on several
// streams is taken at its word for the one that the other side sends now; a new SSRC starts afresh.
// Encrypted reports cannot be read.
// Written by the worker that gets the flow's RTCP with relaxed stores, as SeenLine is.
//
// Ownership. A pair of ports owns one Quality: RTCP arrives at the odd port, or multiplexed at the
// even one, and may change between them during a call. It begins when the first of the two ports is
// published and ends when neither is: see FlowTable::withdraw().

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/report.h"
#include "dataplane/tsc.h"

namespace millrace {

// The E-model (ITU-T G.107) as it is commonly simplified for G.711: delay counts as round trip,
// twice the jitter and 10 ms, gently below 160 ms and steeply above; each percent of loss
// costs 2.5. From 1 to 5.
[[nodiscard]] double mean_opinion(double loss_percent, double jitter_ms, double round_trip_ms);

struct Quality {
  // The last sender report: the middle 32 bits of its NTP time, and when it passed. 0 = none.
  std::atomic<std::uint64_t> report_ntp{0};
  std::atomic<std::uint64_t> report_passed{0};

  std::atomic<std::uint64_t> subject{0};  // SSRC of the stream it reports on, samples above
  std::atomic<std::uint64_t> loss_sum{0};
  std::atomic<std::uint64_t> jitter_sum{0};
  std::atomic<std::uint64_t> legs{0};  // samples that have the own leg,
  std::atomic<std::uint64_t> leg_sum{0};
  std::atomic<std::uint64_t> complete{0};        // and those that have the other one as well
  std::atomic<std::uint64_t> mos_sum{0};         // tenths, of the complete ones
  std::atomic<std::uint64_t> round_trip_sum{0};  // of these
  std::atomic<std::uint64_t> leg_last{0};        // microseconds; 0 = unknown

  // A sample in two words: MOS (8 bits), loss (8), jitter (16), round trip (32); leg, second.
  struct Sample {
    std::atomic<std::uint64_t> values{0};
    std::atomic<std::uint64_t> leg_and_second{0};
  };
  Sample lowest, highest;  // of the complete samples
};

// One compound RTCP packet of a party. `own` is its quality, `peer` the other party's; `stream` the
// SSRC that the other party sends, if it is known; `clock_hz` of that stream. Precondition:
// parse_rtcp() has found `packet` well-formed.
void note_reports(std::span<const std::byte> packet, Quality& own, const Quality& peer,
                  std::optional<std::uint32_t> stream, std::uint32_t clock_hz, Tsc now,
                  std::uint64_t tsc_hz);

[[nodiscard]] std::optional<QualityReport> report_of(const Quality& quality, Tsc now,
                                                     std::uint64_t tsc_hz);

void forget(Quality& quality);

}  // namespace millrace

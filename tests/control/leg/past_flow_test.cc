// SPDX-License-Identifier: BSD-3-Clause
#include "control/leg/past_flow.h"

#include <gtest/gtest.h>

#include "control/command/quality.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr PastFlow::Clock::time_point kThen{100s};

FlowReport past_report() {
  FlowReport flow;
  flow.active = true;
  flow.latched = Endpoint{IpAddress::v4(198, 18, 0, 20), UdpPort(5000)};
  flow.latched_for = 9s;
  flow.packets = 100;
  flow.bytes = 17'200;
  flow.forwarded = 90;
  flow.refused = 3;
  flow.drops[2] = 3;
  flow.idle = 1s;
  flow.ssrc = 7;
  flow.extended_highest_sequence = 1100;
  flow.expected = 104;
  flow.lost = 4;
  flow.jitter = 12;
  flow.payload_type = 8;
  return flow;
}

TEST(PastFlow, TellsWhatWasHeardAsOfNow) {
  const FlowReport report = PastFlow{past_report(), kThen}.merge({}, kThen + 5s);
  EXPECT_FALSE(report.active);
  EXPECT_EQ(report.packets, 100U);
  EXPECT_EQ(report.idle, 6s);
  EXPECT_EQ(report.latched, past_report().latched);
  EXPECT_EQ(report.latched_for, 14s);
  EXPECT_EQ(report.ssrc, 7U);
  EXPECT_EQ(report.jitter, 12U);
  EXPECT_FALSE(report.destination);
}

TEST(PastFlow, SumsTheCounters) {
  FlowReport later = past_report();
  later.ssrc = 9;
  later.extended_highest_sequence = 20;
  later.latched->port = UdpPort(5002);
  later.latched_for = 2s;
  later.idle = 0s;
  later.drops[2] = UINT32_MAX - 1;
  const FlowReport report = PastFlow{past_report(), kThen}.merge(later, kThen + 5s);
  EXPECT_TRUE(report.active);
  EXPECT_EQ(report.packets, 200U);
  EXPECT_EQ(report.bytes, 34'400U);
  EXPECT_EQ(report.forwarded, 180U);
  EXPECT_EQ(report.refused, 6U);
  EXPECT_EQ(report.expected, 208U);
  EXPECT_EQ(report.lost, 8);
  EXPECT_EQ(report.drops[2], UINT32_MAX);
  EXPECT_EQ(report.ssrc, 9U) << "of the stream that is received now";
  EXPECT_EQ(report.extended_highest_sequence, 20U);
  EXPECT_EQ(report.latched->port, UdpPort(5002));
  EXPECT_EQ(report.latched_for, 2s);
  EXPECT_EQ(report.idle, 0s);
}

TEST(PastFlow, IsNotLatchedUntilTheNewFlowLatches) {
  FlowReport later;
  later.active = true;
  const FlowReport report = PastFlow{past_report(), kThen}.merge(later, kThen + 5s);
  EXPECT_FALSE(report.latched);
  EXPECT_FALSE(report.latched_for);
  EXPECT_EQ(report.ssrc, 7U);
  EXPECT_EQ(report.idle, 6s);
}

TEST(PastFlow, IsEmptyWithoutPackets) {
  FlowReport flow;
  flow.active = true;
  EXPECT_TRUE((PastFlow{flow, kThen}.empty()));
  flow.refused = 1;
  EXPECT_FALSE((PastFlow{flow, kThen}.empty()));
  EXPECT_FALSE((PastFlow{past_report(), kThen}.empty()));
}

QualityReport quality(std::uint64_t samples, std::uint8_t mos, std::chrono::microseconds trip) {
  const QualitySample sample{.mos_tenths = mos,
                             .loss_percent = static_cast<std::uint8_t>(50 - mos),
                             .jitter_ms = 10,
                             .round_trip = trip,
                             .leg = trip / 2,
                             .age = 1s};
  return {.ssrc = 7,
          .samples = samples,
          .complete = samples,
          .average = sample,
          .lowest = sample,
          .highest = sample};
}

// Reports without a round trip.
QualityReport incomplete(std::uint64_t samples, std::uint8_t loss_percent) {
  return {.ssrc = 7,
          .samples = samples,
          .average = {.loss_percent = loss_percent, .jitter_ms = 30},
          .lowest = {},
          .highest = {}};
}

TEST(PastFlow, QualityIsAveragedBySamples) {
  const QualityReport sum = merge(quality(3, 40, 100us), quality(1, 20, 500us));
  EXPECT_EQ(sum.samples, 4U);
  EXPECT_EQ(sum.complete, 4U);
  EXPECT_EQ(sum.average.mos_tenths, 35);
  EXPECT_EQ(sum.average.loss_percent, 15);
  EXPECT_EQ(sum.average.jitter_ms, 10);
  EXPECT_EQ(sum.average.round_trip, 200us);
  EXPECT_EQ(sum.average.leg, 100us);
  EXPECT_EQ(sum.lowest.mos_tenths, 20);
  EXPECT_EQ(sum.highest.mos_tenths, 40);
  EXPECT_EQ(merge({}, quality(1, 20, 0us)).samples, 1U);
  EXPECT_EQ(merge(quality(1, 20, 0us), {}).average.mos_tenths, 20);
}

TEST(PastFlow, IncompleteSamplesDoNotCountInMosAndRoundTrip) {
  for (const QualityReport& sum : {merge(quality(1, 40, 500us), incomplete(3, 30)),
                                   merge(incomplete(3, 30), quality(1, 40, 500us))}) {
    EXPECT_EQ(sum.samples, 4U);
    EXPECT_EQ(sum.complete, 1U);
    EXPECT_EQ(sum.average.mos_tenths, 40);
    EXPECT_EQ(sum.average.round_trip, 500us);
    EXPECT_EQ(sum.average.leg, 250us);
    EXPECT_EQ(sum.average.loss_percent, 25);
    EXPECT_EQ(sum.average.jitter_ms, 25);
    EXPECT_EQ(sum.lowest.mos_tenths, 40);
    EXPECT_EQ(sum.highest.mos_tenths, 40);
  }
  EXPECT_EQ(merge(incomplete(1, 2), incomplete(1, 4)).average.mos_tenths, 0);
}

TEST(PastFlow, QualityOfOneStreamOnly) {
  const PastQuality past{quality(3, 40, 0us), kThen};
  QualityReport later = quality(1, 20, 0us);
  EXPECT_EQ(past.merge(later, kThen + 4s).samples, 4U);
  EXPECT_EQ(past.merge(later, kThen + 4s).highest.age, 5s);
  later.ssrc = 8;
  EXPECT_EQ(past.merge(later, kThen).samples, 1U);
  EXPECT_EQ(past.merge({}, kThen).samples, 3U);
}

}  // namespace
}  // namespace millrace

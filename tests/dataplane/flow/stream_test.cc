// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/stream.h"

#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr std::uint64_t kHz = 2'560'000'000;

// A stream as the relay feeds it, with what A.3 makes of it.
struct Stream {
  SeenLine seen;
  Record record;
  std::uint64_t packets = 0;
  std::uint32_t rate = clock_rate_of(8000, kHz);

  void take(std::uint16_t sequence, std::uint32_t timestamp = 0, std::uint64_t ticks = 0,
            std::uint32_t ssrc = 1) {
    const RtpFields rtp{
        .payload_type = 0, .sequence = sequence, .timestamp = timestamp, .ssrc = ssrc};
    ++packets;
    if (!note_usual(seen, rtp, ticks, rate)) note_unusual(seen, record, rtp, ticks, rate);
  }
  void take_event(std::uint16_t sequence, std::uint32_t timestamp, std::uint64_t ticks) {
    const RtpFields rtp{
        .payload_type = 101, .sequence = sequence, .timestamp = timestamp, .ssrc = 1};
    ++packets;
    note_event(seen, record, rtp, ticks, rate);
  }
  [[nodiscard]] std::uint32_t highest() const { return seen.highest(); }
  [[nodiscard]] std::uint64_t expected() const {
    return record.past_expected + seen.highest() - seen.base + 1;
  }
  [[nodiscard]] std::int64_t lost() const {
    return static_cast<std::int64_t>(expected() - (packets - record.not_received));
  }
};

TEST(Stream, InOrder) {
  Stream s;
  for (std::uint16_t i = 100; i < 200; ++i) s.take(i);
  EXPECT_EQ(s.highest(), 199U);
  EXPECT_EQ(s.expected(), 100U);
  EXPECT_EQ(s.lost(), 0);
}

TEST(Stream, SequenceWrapsIntoTheCycles) {
  Stream s;
  for (std::uint32_t i = 65'500; i < 65'536 * 3 + 10; ++i) s.take(static_cast<std::uint16_t>(i));
  EXPECT_EQ(s.highest(), 65'536U * 3 + 9);
  EXPECT_EQ(s.lost(), 0);
}

TEST(Stream, LossAndDuplicates) {
  Stream s;
  s.take(10);
  s.take(14);
  EXPECT_EQ(s.lost(), 3);
  s.take(12);  // late
  EXPECT_EQ(s.lost(), 2);
  EXPECT_EQ(s.highest(), 14U);
  s.take(14);
  s.take(14);
  s.take(14);
  EXPECT_EQ(s.lost(), -1) << "duplicates count as received (RFC 3550 A.3)";
}

// A.1's limits: ahead by less than 3000 is loss; behind by less than 100 is late; else a jump.
TEST(Stream, LimitsMatchRfc3550A1) {
  for (const auto& [step, counted] :
       {std::pair{2999, true}, {3000, false}, {-99, true}, {-100, false}, {30'000, false}}) {
    Stream s;
    s.take(20'000);
    s.take(static_cast<std::uint16_t>(20'000 + step));
    EXPECT_EQ(s.record.not_received, counted ? 0U : 1U) << step;
    EXPECT_EQ(s.highest(), step == 2999 ? 22'999U : 20'000U) << step;
  }
}

TEST(Stream, TwoConsecutivePacketsAfterAJumpRestart) {
  Stream s;
  s.take(100);
  s.take(101);
  s.take(40'000);
  EXPECT_EQ(s.highest(), 101U);
  s.take(50'000);  // another stray: not in a row
  EXPECT_EQ(s.highest(), 101U);
  s.take(50'001);
  EXPECT_EQ(s.highest(), 50'001U);
  EXPECT_EQ(s.expected(), 3U);
  EXPECT_EQ(s.lost(), 0);
  s.take(50'002);
  EXPECT_EQ(s.lost(), 0);
}

TEST(Stream, SequenceNumber65535AfterAStartIsValid) {
  Stream s;
  s.take(0);
  s.take(65'535);  // one late, from before the first
  EXPECT_EQ(s.record.not_received, 0U);
  EXPECT_EQ(s.highest(), 0U);
}

TEST(Stream, NewSsrcRestartsAndKeepsTheLoss) {
  Stream s;
  s.take(1, 0, 0, 7);
  s.take(4, 0, 5000, 7);
  EXPECT_EQ(s.lost(), 2);
  s.take(60'000, 123'456, 6000, 8);
  EXPECT_EQ(s.seen.sender, kKnownSender | 8U);
  EXPECT_EQ(s.highest(), 60'000U);
  EXPECT_EQ(s.seen.jitter, 0U);
  EXPECT_EQ(s.lost(), 2);
}

TEST(Stream, SsrcZeroIsValid) {
  Stream s;
  s.take(5, 0, 0, 0);
  s.take(6, 0, 0, 0);
  EXPECT_EQ(s.highest(), 6U);
  EXPECT_EQ(s.expected(), 2U);
}

// A.8 as the RFC has it, on exact arrival times.
TEST(Stream, JitterMatchesRfc3550A8) {
  std::mt19937 random{3};
  for (const std::uint32_t clock : {8000U, 16'000U, 48'000U, 90'000U}) {
    Stream s;
    s.rate = clock_rate_of(clock, kHz);
    std::uint32_t jitter = 0;
    std::int32_t transit = 0;
    std::uint32_t timestamp = 0xffff'0000;  // wraps on the way
    std::uint64_t ticks = 77 * kHz;
    for (int i = 0; i < 3000; ++i) {
      const auto arrival = static_cast<std::uint32_t>(arrival_of(ticks, s.rate));
      const auto now_transit = static_cast<std::int32_t>(arrival - timestamp);
      if (i > 0) {
        const auto d = static_cast<std::uint32_t>(std::abs(now_transit - transit));
        jitter += d - ((jitter + 8) >> 4);
      }
      transit = now_transit;
      s.take(static_cast<std::uint16_t>(i), timestamp, ticks);
      ASSERT_EQ(s.seen.jitter, jitter) << clock << " Hz, packet " << i;
      timestamp += clock / 50;
      ticks += kHz / 50 + random() % (kHz / 100);
    }
    EXPECT_GT(s.seen.jitter >> 4, 0U);
  }
}

TEST(Stream, SteadyPacketsHaveNoJitter) {
  Stream s;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    s.take(static_cast<std::uint16_t>(i), i * 160, kHz * 9 + i * (kHz / 50));
  }
  EXPECT_LE(s.seen.jitter >> 4, 1U);
}

// A digit every second: 8 packets of one timestamp, the last one three times at once (RFC 4733).
TEST(Stream, EventsDoNotCountInTheJitter) {
  Stream s;
  std::uint16_t sequence = 65'500;
  for (std::uint32_t i = 0; i < 500; ++i) {
    const std::uint64_t ticks = kHz * 9 + i * (kHz / 50);
    if (i % 50 >= 8) {
      s.take(sequence++, i * 160, ticks);
      continue;
    }
    s.take_event(sequence++, i / 50 * 50 * 160, ticks);
    if (i % 50 != 7) continue;
    for (int copy = 0; copy < 2; ++copy) s.take_event(sequence++, i / 50 * 50 * 160, ticks);
  }
  EXPECT_LE(s.seen.jitter >> 4, 1U);
  EXPECT_EQ(s.lost(), 0);
  EXPECT_EQ(s.expected(), s.packets);
}

TEST(Stream, EventsCountInTheSequence) {
  Stream s;
  s.take(1);
  s.take_event(3, 0, 0);
  EXPECT_EQ(s.highest(), 3U);
  EXPECT_EQ(s.lost(), 1);
  s.take_event(60'000, 0, 0);
  s.take_event(60'001, 0, 0);
  EXPECT_EQ(s.highest(), 60'001U) << "a restart";
}

TEST(Stream, ArrivalFollowsTheClockForDays) {
  const std::uint32_t rate = clock_rate_of(8000, kHz);
  for (const std::uint64_t seconds : {1ULL, 3600ULL, 86'400ULL * 365}) {
    const std::uint32_t start = arrival_of(seconds * kHz, rate);
    const std::uint32_t later = arrival_of(seconds * kHz + kHz, rate);
    EXPECT_NEAR(static_cast<double>(later - start), 8000.0, 1.0) << seconds;
  }
  EXPECT_EQ(clock_rate_of(0xffff'ffff, 1'000'000'000), 0xffff'ffffU) << "no overflow";
}

}  // namespace
}  // namespace millrace

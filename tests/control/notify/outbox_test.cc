// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/outbox.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Ids = std::vector<std::uint64_t>;

// An outbox with a scripted peer.
class OutboxTest : public testing::Test {
 protected:
  static constexpr seconds kMaxAge{10};

  void push(std::uint64_t id) {
    outbox.push({.id = id, .call_id = "c", .bytes = "x", .since = now});
  }
  // One call a second, as the housekeeping timer does.
  void advance(seconds time) {
    for (seconds i{0}; i < time; ++i) outbox.advance(now += seconds(1));
  }

  Outbox::Time now = Outbox::Clock::now();
  Ids sent;
  std::function<void(std::uint64_t)> peer = [](std::uint64_t) {};  // does not answer
  Outbox outbox{"peer", kMaxAge, [this](const Outbox::Message& message) {
                  sent.push_back(message.id);
                  peer(message.id);
                }};
};

TEST_F(OutboxTest, SendsInOrderUpToTheInFlightLimit) {
  for (std::uint64_t id = 0; id < Outbox::kInFlight + 2; ++id) push(id);
  EXPECT_EQ(sent, (Ids{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(outbox.in_flight(7)->id, 7U);
  EXPECT_EQ(outbox.in_flight(8), nullptr);
  outbox.delivered(3, now);
  EXPECT_EQ(sent.back(), 8U);
  outbox.delivered(3, now);  // answered twice
  EXPECT_EQ(sent.size(), 9U);
  for (const std::uint64_t id : {0U, 1U, 2U, 4U, 5U, 6U, 7U, 8U}) outbox.delivered(id, now);
  EXPECT_FALSE(outbox.empty());
  outbox.delivered(9, now);
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.take_lost(), 0U);
}

TEST_F(OutboxTest, UnansweredMessageIsRetriedWithBackoff) {
  push(1);
  const auto start = now;
  std::vector<seconds> at;
  peer = [&](std::uint64_t) { at.push_back(std::chrono::duration_cast<seconds>(now - start)); };
  advance(kMaxAge);
  EXPECT_EQ(at, (std::vector{seconds(1), seconds(3), seconds(7)}));
  EXPECT_EQ(outbox.take_lost(), 0U);
  advance(seconds(1));
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.take_lost(), 1U);
  EXPECT_EQ(outbox.take_lost(), 0U);
}

TEST_F(OutboxTest, RefusedMessageIsRetriedUntilDelivered) {
  peer = [this](std::uint64_t id) { outbox.failed(id, "refused"); };
  push(1);
  advance(seconds(3));
  EXPECT_EQ(sent, (Ids{1, 1, 1}));
  outbox.delivered(1, now);
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.take_lost(), 0U);
}

TEST_F(OutboxTest, LateAnswerCounts) {
  push(1);
  advance(seconds(6));
  outbox.delivered(1, now);
  EXPECT_TRUE(outbox.empty());
}

TEST_F(OutboxTest, TheQueueIsBoundedInBytes) {
  const std::string longest(Outbox::kMaxMessage, 'x');
  std::uint64_t pushed = 0;
  for (; outbox.take_lost() == 0; ++pushed) {
    ASSERT_LT(pushed, 2000U);
    outbox.push({.id = pushed, .call_id = "", .bytes = longest, .since = now});
  }
  EXPECT_EQ(pushed - 1 - Outbox::kInFlight,
            Outbox::kMaxBytes / (longest.size() + sizeof(Outbox::Message)));
  for (std::uint64_t id = 0; id < pushed - 1; ++id) outbox.delivered(id, now);
  EXPECT_TRUE(outbox.empty()) << "the newest was lost";
  outbox.push({.id = 9999, .call_id = "", .bytes = longest, .since = now});
  EXPECT_EQ(sent.back(), 9999U) << "there is room again";
}

TEST_F(OutboxTest, OnlyALivePeerIsCongested) {
  const std::string longest(Outbox::kMaxMessage, 'x');
  for (std::uint64_t id = 0; id < 600; ++id) {
    outbox.push({.id = id, .call_id = "", .bytes = longest, .since = now});
  }
  EXPECT_FALSE(outbox.congested(now)) << "dead";
  outbox.delivered(0, now);
  EXPECT_TRUE(outbox.congested(now));
  EXPECT_FALSE(outbox.congested(now + Outbox::kStalled)) << "stalled";
  for (std::uint64_t id = 1; id < 100; ++id) outbox.delivered(id, now);
  EXPECT_FALSE(outbox.congested(now)) << "less than half full";
}

TEST_F(OutboxTest, OversizedMessageIsLost) {
  outbox.push(
      {.id = 1, .call_id = "", .bytes = std::string(Outbox::kMaxMessage + 1, 'x'), .since = now});
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.take_lost(), 1U);
}

TEST_F(OutboxTest, OldMessagesAreDroppedUnsent) {
  for (std::uint64_t id = 0; id < Outbox::kInFlight; ++id) push(id);
  now += seconds(5);
  push(100);
  now += seconds(6);
  push(101);
  outbox.advance(now);
  EXPECT_EQ(outbox.take_lost(), Outbox::kInFlight);
  EXPECT_EQ(sent[sent.size() - 2], 100U);
  EXPECT_EQ(sent.back(), 101U);
  for (std::uint64_t id = 102; id < 120; ++id) push(id);
  now += kMaxAge + milliseconds(1);
  push(120);
  const std::size_t before = sent.size();
  outbox.delivered(100, now);
  EXPECT_EQ(sent.size(), before + 1) << "the stale ones behind it are passed over";
  EXPECT_EQ(sent.back(), 120U);
  EXPECT_EQ(outbox.take_lost(), 12U);
}

TEST_F(OutboxTest, AbandonedMessagesAreCounted) {
  for (std::uint64_t id = 0; id < 20; ++id) push(id);
  outbox.abandon();
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.take_lost(), 20U);
}

}  // namespace
}  // namespace millrace

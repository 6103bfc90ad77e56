// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/outbox.h"

#include <string>
#include <vector>

#include <asio/io_context.hpp>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using std::chrono::milliseconds;

// An outbox whose peer does as the test says.
class OutboxTest : public testing::Test {
 protected:
  [[nodiscard]] static Outbox::Message message(std::uint64_t id) {
    return {.id = id, .call_id = "c", .bytes = "x", .since = Outbox::Clock::now()};
  }
  // Until there is nothing left to wait for.
  void run() {
    io.restart();
    io.run();
  }

  asio::io_context io;
  std::vector<std::uint64_t> tried;
  std::function<void()> peer = [] {};  // says nothing
  Outbox outbox{io.get_executor(),
                "peer",
                [this](const Outbox::Message& sent) {
                  tried.push_back(sent.id);
                  peer();
                },
                {.answer_time = milliseconds(2), .first_pause = milliseconds(1)}};
};

TEST_F(OutboxTest, OneAtATimeInOrder) {
  for (const std::uint64_t id : {1U, 2U, 3U}) outbox.push(message(id));
  EXPECT_EQ(tried, std::vector<std::uint64_t>{1});
  ASSERT_NE(outbox.current(), nullptr);
  EXPECT_EQ(outbox.current()->id, 1U);
  outbox.delivered();
  outbox.delivered();
  EXPECT_EQ(outbox.current()->id, 3U);
  outbox.delivered();
  EXPECT_EQ(outbox.current(), nullptr);
  EXPECT_TRUE(outbox.empty());
  run();
  EXPECT_EQ(tried, (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(outbox.take_lost(), 0U);
}

TEST_F(OutboxTest, SilenceIsRetriedAndGivenUp) {
  outbox.push(message(1));
  outbox.push(message(2));
  run();
  EXPECT_EQ(tried, (std::vector<std::uint64_t>{1, 1, 1, 1, 1, 2, 2, 2, 2, 2}));
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.take_lost(), 2U);
  EXPECT_EQ(outbox.take_lost(), 0U);
}

TEST_F(OutboxTest, FailureIsRetriedUntilItWorks) {
  peer = [this] { tried.size() < 3 ? outbox.failed("refused") : outbox.delivered(); };
  outbox.push(message(1));
  run();
  EXPECT_EQ(tried, (std::vector<std::uint64_t>{1, 1, 1}));
  EXPECT_TRUE(outbox.empty());
  EXPECT_EQ(outbox.take_lost(), 0U);
}

TEST_F(OutboxTest, PausesGrow) {
  const auto start = Outbox::Clock::now();
  peer = [this] { outbox.failed("refused"); };
  outbox.push(message(1));
  run();
  EXPECT_EQ(tried.size(), Outbox::kAttempts);
  EXPECT_GE(Outbox::Clock::now() - start, milliseconds(1 + 2 + 4 + 8));
}

TEST_F(OutboxTest, AnAnswerDuringAPauseCountsForNothing) {
  peer = [this] { outbox.failed("refused"); };
  outbox.push(message(1));
  outbox.delivered();
  EXPECT_FALSE(outbox.empty());
  EXPECT_EQ(outbox.current(), nullptr);
}

TEST_F(OutboxTest, AFullQueueLosesTheNewest) {
  for (std::uint64_t id = 0; id < Outbox::kMaxQueued + 3; ++id) outbox.push(message(id));
  EXPECT_EQ(outbox.take_lost(), 3U);
  EXPECT_EQ(outbox.current()->id, 0U);
  peer = [this] { EXPECT_EQ(outbox.current()->id, tried.back()); };
  while (!outbox.empty()) outbox.delivered();
  EXPECT_EQ(tried.back(), Outbox::kMaxQueued - 1);
}

TEST_F(OutboxTest, WhatIsTooOldIsNotSaidAnyMore) {
  auto old = message(1);
  old.since -= Outbox::kMaxAge + milliseconds(1);
  outbox.push(message(0));
  outbox.push(old);
  outbox.push(old);
  outbox.push(message(2));
  outbox.delivered();
  EXPECT_EQ(tried, (std::vector<std::uint64_t>{0, 2}));
  EXPECT_EQ(outbox.take_lost(), 2U);
}

}  // namespace
}  // namespace millrace

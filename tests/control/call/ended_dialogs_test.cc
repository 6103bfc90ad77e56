// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/ended_dialogs.h"

#include <string>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using namespace std::chrono_literals;

const EndedDialogs::Clock::time_point kStart{1h};

TEST(EndedDialogs, RecognisesCopiesOfTheLastExchangeAndOlderOnes) {
  EndedDialogs ended;
  ended.add({"call", "A", "B", 7}, kStart);
  EXPECT_TRUE(ended.has({"call", "A", "B", 7}, kStart));
  EXPECT_TRUE(ended.has({"call", "A", "B", 1}, kStart));
  EXPECT_FALSE(ended.has({"call", "A", "B", 8}, kStart)) << "a new exchange";
  EXPECT_FALSE(ended.has({"call", "B", "A", 7}, kStart)) << "the other party's";
  EXPECT_FALSE(ended.has({"call", "A", "C", 7}, kStart));
  EXPECT_FALSE(ended.has({"other", "A", "B", 7}, kStart));
}

TEST(EndedDialogs, ForgetsAfter32Seconds) {
  EndedDialogs ended;
  ended.add({"call", "A", "B", 7}, kStart);
  EXPECT_TRUE(ended.has({"call", "A", "B", 7}, kStart + 32s));
  EXPECT_FALSE(ended.has({"call", "A", "B", 7}, kStart + 33s));
  ended.add({"call", "A", "B", 8}, kStart + 20s);
  ended.add({"other", "A", "B", 7}, kStart + 33s);
  EXPECT_EQ(ended.size(), 2U);
  EXPECT_TRUE(ended.has({"call", "A", "B", 8}, kStart + 52s)) << "it was added again";
}

TEST(EndedDialogs, AreBounded) {
  EndedDialogs ended;
  for (std::size_t i = 0; i <= EndedDialogs::kMax; ++i) {
    ended.add({"call" + std::to_string(i), "A", "B", 1}, kStart);
  }
  EXPECT_EQ(ended.size(), EndedDialogs::kMax);
  EXPECT_FALSE(ended.has({"call0", "A", "B", 1}, kStart)) << "the oldest is forgotten";
  EXPECT_TRUE(ended.has({"call1", "A", "B", 1}, kStart));
}

}  // namespace
}  // namespace millrace

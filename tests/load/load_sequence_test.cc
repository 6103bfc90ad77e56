// SPDX-License-Identifier: BSD-3-Clause
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "perf/load/sequence.h"

namespace millrace::loadgen {
namespace {

TEST(LoadSequence, WrapAt65535IsInOrder) {
  Sequence sequence;
  std::uint16_t number = 65'000;
  for (int i = 0; i < 200'000; ++i) ASSERT_EQ(sequence.note(number++), Arrival::in_order);
  EXPECT_EQ(sequence.expected(), 200'000);
  EXPECT_EQ(sequence.highest(), 65'000 + 199'999);
}

TEST(LoadSequence, GapsCountAsExpected) {
  Sequence sequence;
  EXPECT_EQ(sequence.expected(), 0);
  EXPECT_EQ(sequence.note(10), Arrival::in_order);
  EXPECT_EQ(sequence.note(20), Arrival::in_order);
  EXPECT_EQ(sequence.expected(), 11);
  EXPECT_EQ(sequence.note(520), Arrival::in_order) << "past the window";
  EXPECT_EQ(sequence.expected(), 511);
}

TEST(LoadSequence, LatePacketIsReorderedThenDuplicate) {
  Sequence sequence;
  for (const std::uint16_t number : std::initializer_list<std::uint16_t>{65'534, 1, 2}) {
    EXPECT_EQ(sequence.note(number), Arrival::in_order);
  }
  EXPECT_EQ(sequence.note(65'535), Arrival::reordered);
  EXPECT_EQ(sequence.note(65'535), Arrival::duplicate);
  EXPECT_EQ(sequence.note(2), Arrival::duplicate) << "the highest again";
  EXPECT_EQ(sequence.note(0), Arrival::reordered);
  EXPECT_EQ(sequence.note(65'534), Arrival::duplicate) << "the first again";
  EXPECT_EQ(sequence.highest(), 65'538);
}

TEST(LoadSequence, PacketOlderThanTheWindowIsReordered) {
  Sequence sequence;
  EXPECT_EQ(sequence.note(100), Arrival::in_order);
  EXPECT_EQ(sequence.note(163), Arrival::in_order);
  EXPECT_EQ(sequence.note(100), Arrival::duplicate) << "63 behind";
  EXPECT_EQ(sequence.note(164), Arrival::in_order);
  EXPECT_EQ(sequence.note(100), Arrival::reordered) << "64 behind";
}

// Random reordering, loss and duplication within the window, compared with a set of all numbers.
TEST(LoadSequence, AgreesWithASetOfReceivedNumbers) {
  std::mt19937 random(3);
  const auto below = [&random](std::uint32_t end) {
    return static_cast<std::uint32_t>(random() % end);
  };
  Sequence sequence;
  std::set<std::uint32_t> received;
  std::uint32_t next = 65'400;
  std::uint32_t highest = next;
  for (int i = 0; i < 50'000; ++i) {
    std::uint32_t number = next;
    if (below(4) == 0 && !received.empty()) {
      number = highest - below(std::min<std::uint32_t>(64, highest - *received.begin() + 1));
    } else {
      next += 1 + (below(8) == 0 ? below(100) : 0);
    }
    const bool fresh = received.insert(number).second;
    const Arrival expected = !fresh                                     ? Arrival::duplicate
                             : received.size() == 1 || number > highest ? Arrival::in_order
                                                                        : Arrival::reordered;
    highest = std::max(highest, number);
    ASSERT_EQ(sequence.note(static_cast<std::uint16_t>(number)), expected) << number;
    ASSERT_EQ(sequence.expected(), highest - *received.begin() + 1);
  }
}

}  // namespace
}  // namespace millrace::loadgen

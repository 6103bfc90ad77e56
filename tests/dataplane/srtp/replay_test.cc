// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/srtp/replay.h"

#include <cstdlib>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(PacketIndex, IsRocAndSequence) {
  const PacketIndex index(0xffff'ffff, 0xfffe);
  EXPECT_EQ(index.value(), 0xffff'ffff'fffeU);
  EXPECT_EQ(index.roc(), 0xffff'ffffU);
  EXPECT_EQ(index.sequence(), 0xfffe);
  EXPECT_EQ(PacketIndex::of_rtcp(0x7fff'ffff).value(), 0x7fff'ffffU);
}

TEST(PacketIndex, EstimateIsTheClosestToTheHighest) {
  std::minstd_rand random;
  for (int i = 0; i < 200'000; ++i) {
    const PacketIndex highest(static_cast<std::uint32_t>(1 + random() % 1000),
                              static_cast<std::uint16_t>(random()));
    const auto sequence = static_cast<std::uint16_t>(random() >> 8);
    const auto index = estimate(highest, sequence);
    ASSERT_TRUE(index);
    EXPECT_EQ(index->sequence(), sequence);
    const auto distance = std::abs(static_cast<std::int64_t>(index->value() - highest.value()));
    ASSERT_LE(distance, 0x8000);
  }
}

// RFC 3711 section 3.3.1, both sides of each comparison.
TEST(PacketIndex, EstimateAtTheLimits) {
  EXPECT_EQ(estimate({5, 0}, 0x8000), PacketIndex(5, 0x8000));
  EXPECT_EQ(estimate({5, 0}, 0x8001), PacketIndex(4, 0x8001));
  EXPECT_EQ(estimate({5, 0x7fff}, 0xffff), PacketIndex(5, 0xffff));
  EXPECT_EQ(estimate({5, 0x8000}, 0), PacketIndex(5, 0));
  EXPECT_EQ(estimate({5, 0x8001}, 0), PacketIndex(6, 0));
  EXPECT_EQ(estimate({5, 0xffff}, 0x7ffe), PacketIndex(6, 0x7ffe));
  EXPECT_EQ(estimate({5, 0xffff}, 0x7fff), PacketIndex(5, 0x7fff));
  EXPECT_EQ(estimate({0, 1}, 0xffff), std::nullopt);
  EXPECT_EQ(estimate({0xffff'ffff, 0xffff}, 0), std::nullopt);
}

TEST(ReplayList, KnowsTheLast128Indexes) {
  ReplayList list;
  for (std::uint16_t i = 1000; i < 1200; ++i) list.use({1, i});
  EXPECT_EQ(list.highest(), PacketIndex(1, 1199));
  ReplayList gaps;
  gaps.use({1, 1199});
  EXPECT_FALSE(gaps.is_used({1, 1199 - 127}));
  EXPECT_TRUE(gaps.is_used({1, 1199 - 128}));  // too old to know
  EXPECT_TRUE(list.is_used({1, 1199 - 127}));
  EXPECT_FALSE(list.is_used({1, 1200}));
}

TEST(ReplayList, AgreesWithASet) {
  std::minstd_rand random;
  ReplayList list;
  std::set<std::uint64_t> used;
  std::uint64_t highest = 0;
  for (int i = 0; i < 300'000; ++i) {
    // Ahead by up to 70 or behind by up to 150, sometimes far ahead.
    std::uint64_t value = highest + random() % 220;
    if (i % 1000 == 0) value += 63 + random() % 130;
    if (value < 150) value = 150;
    value -= 150;
    const PacketIndex index(static_cast<std::uint32_t>(value >> 16),
                            static_cast<std::uint16_t>(value));
    const bool expected = used.contains(value) || value + ReplayList::kWindow <= highest;
    ASSERT_EQ(list.is_used(index), expected) << i;
    if (expected) continue;
    list.use(index);
    used.insert(value);
    highest = std::max(highest, value);
    ASSERT_EQ(list.highest().value(), highest);
  }
}

TEST(ReplayList, ContinuesWithAllBelowUsed) {
  ReplayList list(PacketIndex(7, 100));
  EXPECT_TRUE(list.is_used({7, 100}));
  EXPECT_TRUE(list.is_used({7, 1}));
  EXPECT_FALSE(list.is_used({7, 101}));
}

TEST(ReplayLists, ReplaceTheOneIdleForLongest) {
  constexpr std::uint64_t kSecond = 2'000'000'000;
  ReplayLists<16> lists;
  for (std::uint32_t ssrc = 0; ssrc < 16; ++ssrc) {
    lists.add(ssrc, ReplayList(), Tsc{(100 + ssrc) * kSecond}).use({0, 1});
  }
  ASSERT_NE(lists.find(0), nullptr);
  lists.touch(Tsc{500 * kSecond});
  lists.add(99, ReplayList(), Tsc{600 * kSecond}).use({0, 7});
  EXPECT_EQ(lists.size(), 16U);
  EXPECT_EQ(lists.find(1), nullptr);
  EXPECT_NE(lists.find(0), nullptr);
  EXPECT_NE(lists.find(2), nullptr);
  ASSERT_NE(lists.find(99), nullptr);
  EXPECT_EQ(lists.find(99)->highest(), PacketIndex(0, 7));
}

}  // namespace
}  // namespace millrace

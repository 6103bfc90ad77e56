// SPDX-License-Identifier: BSD-3-Clause
#include <vector>

#include <gtest/gtest.h>

#include "perf/load/bisect.h"

namespace millrace::loadgen {
namespace {

struct LoadBisect : ::testing::Test {
  std::vector<std::size_t> tried;

  // NOLINTNEXTLINE(bugprone-easily-swappable-parameters): as bisect()
  std::size_t highest(std::size_t limit, std::size_t most, std::size_t resolution,
                      Bracket known = {.good = 0, .bad = SIZE_MAX}) {
    tried.clear();
    return bisect(
        known, most, resolution,
        [&](std::size_t load) {
          tried.push_back(load);
          return load <= limit;
        },
        [] { return true; });
  }
};

TEST_F(LoadBisect, PassAtTheUpperLimitNeedsOneTrial) {
  EXPECT_EQ(highest(5000, 1000, 10), 1000);
  EXPECT_EQ(tried, std::vector<std::size_t>{1000});
}

TEST_F(LoadBisect, FindsEveryLimitWithinTheResolution) {
  for (const std::size_t resolution : {1UL, 7UL, 10UL, 100UL}) {
    for (std::size_t limit = 0; limit <= 300; ++limit) {
      const std::size_t found = highest(limit, 300, resolution);
      EXPECT_LE(found, limit);
      EXPECT_GE(found + resolution, limit) << resolution;
      EXPECT_LE(tried.size(), 10);
    }
  }
}

TEST_F(LoadBisect, NoRateIsTriedTwice) {
  EXPECT_EQ(highest(650, 1000, 1, {.good = 600, .bad = 700}), 650);
  for (const std::size_t load : tried) EXPECT_TRUE(load > 600 && load < 700) << load;
  EXPECT_EQ(highest(1000, 1000, 1, {.good = 1000, .bad = SIZE_MAX}), 1000);
  EXPECT_TRUE(tried.empty());
}

TEST_F(LoadBisect, InterruptEndsTheSearch) {
  int left = 3;
  const auto found = bisect(
      {.good = 0, .bad = SIZE_MAX}, 1024, 1, [](std::size_t load) { return load <= 500; },
      [&left] { return left-- > 0; });
  EXPECT_EQ(found, 256);
}

}  // namespace
}  // namespace millrace::loadgen

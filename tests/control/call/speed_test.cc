// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/speed.h"

#include <gtest/gtest.h>

namespace millrace::test {
namespace {

using std::chrono::milliseconds;

constexpr Speed::Time kBegin{std::chrono::hours(1)};

struct SpeedTest : testing::Test {
  Speed speed{milliseconds(1000), kBegin};
  int asked = 0;

  std::uint64_t at(milliseconds passed, std::uint64_t count) {
    speed.measure(kBegin + passed, [&] {
      ++asked;
      return count;
    });
    return speed.per_second();
  }
};

TEST_F(SpeedTest, IsZeroInTheFirstPeriod) {
  EXPECT_EQ(speed.per_second(), 0U);
  EXPECT_EQ(at(milliseconds(0), 5), 0U);
  EXPECT_EQ(at(milliseconds(999), 500), 0U);
  EXPECT_EQ(asked, 0) << "the count is asked for once a period";
}

TEST_F(SpeedTest, IsThatOfTheLastWholePeriod) {
  EXPECT_EQ(at(milliseconds(1000), 300), 300U);
  EXPECT_EQ(at(milliseconds(1999), 9000), 300U);
  EXPECT_EQ(at(milliseconds(2000), 400), 100U);
  EXPECT_EQ(asked, 2);
}

TEST_F(SpeedTest, IsPerSecondAfterALongerPeriod) {
  EXPECT_EQ(at(milliseconds(4000), 1000), 250U);
  EXPECT_EQ(at(milliseconds(5500), 1300), 200U);
}

TEST_F(SpeedTest, FallsToZeroWithoutTraffic) {
  EXPECT_EQ(at(milliseconds(1000), 300), 300U);
  EXPECT_EQ(at(milliseconds(2000), 300), 0U);
}

// More than 2^64 / 1000 would overflow the product: 18 PB, which no relay counts in a period.
TEST_F(SpeedTest, DoesNotOverflowAtTerabytes) {
  constexpr std::uint64_t kTerabyte = 1'000'000'000'000;
  EXPECT_EQ(at(milliseconds(1000), 100 * kTerabyte), 100 * kTerabyte);
}

}  // namespace
}  // namespace millrace::test

// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "perf/load/histogram.h"

namespace millrace::loadgen {
namespace {

using std::chrono::nanoseconds;

TEST(LoadHistogram, IsEmptyAtFirst) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.quantile(0.5), nanoseconds(0));
  EXPECT_EQ(histogram.mean(), nanoseconds(0));
  EXPECT_EQ(histogram.largest(), nanoseconds(0));
}

TEST(LoadHistogram, SmallValuesAreExact) {
  Histogram histogram;
  for (int i = 0; i < 256; ++i) histogram.add(nanoseconds(i));
  for (int i = 1; i <= 256; ++i) {
    EXPECT_EQ(histogram.quantile(i / 256.0), nanoseconds(i - 1)) << i;
  }
}

TEST(LoadHistogram, QuantilesMatchSortedValues) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> delay(10, 3);  // 22 us median, seconds at the far end
  std::vector<nanoseconds> values;
  Histogram histogram;
  for (int i = 0; i < 100'000; ++i) {
    values.emplace_back(static_cast<std::int64_t>(std::min(delay(random), 1e12)));
    histogram.add(values.back());
  }
  std::ranges::sort(values);
  for (const double q : {0.0001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(q * 100'000));
    const auto exact = static_cast<double>(values[rank - 1].count());
    const auto value_at_q = static_cast<double>(histogram.quantile(q).count());
    EXPECT_GE(value_at_q, exact) << q;
    EXPECT_LE(value_at_q, exact * 1.008 + 1) << q;
  }
  EXPECT_EQ(histogram.largest(), values.back());
  EXPECT_EQ(histogram.quantile(1), values.back());
}

TEST(LoadHistogram, ValuesOutOfRangeCountInTheLastBucket) {
  Histogram histogram;
  histogram.add(nanoseconds(-5));
  EXPECT_EQ(histogram.quantile(1), nanoseconds(0));
  histogram.add(std::chrono::hours(1));
  EXPECT_EQ(histogram.largest(), nanoseconds((std::int64_t{1} << 40) - 1));
  EXPECT_EQ(histogram.quantile(1), histogram.largest());
  EXPECT_EQ(histogram.count(), 2);
}

TEST(LoadHistogram, SumEqualsOneHistogramOfAllValues) {
  std::mt19937_64 random(2);
  Histogram one;
  Histogram other;
  Histogram both;
  for (int i = 0; i < 1000; ++i) {
    const nanoseconds value(random() >> 30);
    (i % 3 == 0 ? one : other).add(value);
    both.add(value);
  }
  one.add(other);
  EXPECT_EQ(one.count(), both.count());
  EXPECT_EQ(one.mean(), both.mean());
  EXPECT_EQ(one.largest(), both.largest());
  for (const double q : {0.1, 0.5, 0.9, 0.99}) EXPECT_EQ(one.quantile(q), both.quantile(q));
}

}  // namespace
}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#include "control/ports/offered_ports.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

TEST(OfferedPorts, CountAgainstTheirSourceUntilTheAnswer) {
  OffersBySource counts;
  {
    OfferedPorts first, second, other, unnamed;
    first.add(counts, ip("192.0.2.1"), 2);
    second.add(counts, ip("192.0.2.1"), 3);
    other.add(counts, ip("192.0.2.2"), 1);
    unnamed.add(counts, std::nullopt, 2);
    auto report = counts.report();
    EXPECT_EQ(report.all, 16U);
    ASSERT_EQ(report.most.size(), 3U);
    EXPECT_EQ(report.most[0].address, ip("192.0.2.1"));
    EXPECT_EQ(report.most[0].ports, 10U);
    EXPECT_EQ(report.most[1].address, std::nullopt);
    EXPECT_EQ(report.most[2].ports, 2U);
    second.answered();
    second.answered();
    EXPECT_EQ(counts.report().all, 10U);
    // A later offer of the same dialog, wherever it comes from.
    first.add(counts, ip("192.0.2.9"), 1);
    EXPECT_EQ(counts.report().most[0].ports, 6U);
    first.add(counts, ip("192.0.2.9"), -2);
    EXPECT_EQ(counts.report().all, 8U);
    // Never below none.
    first.add(counts, ip("192.0.2.9"), -5);
    EXPECT_EQ(counts.report().all, 6U);
    const OfferedPorts moved = std::move(other);
    EXPECT_EQ(counts.sources(), 2U);
  }
  EXPECT_EQ(counts.report().all, 0U);
  EXPECT_EQ(counts.sources(), 0U);
}

TEST(OfferedPorts, SourcesOfOneIpv6NetworkCountAsOne) {
  OffersBySource counts;
  OfferedPorts first, second;
  first.add(counts, ip("2001:db8::1"), 1);
  second.add(counts, ip("2001:db8::ffff:1"), 1);
  const auto report = counts.report();
  ASSERT_EQ(report.most.size(), 1U);
  EXPECT_EQ(report.most[0].address, ip("2001:db8::"));
  EXPECT_EQ(report.most[0].ports, 4U);
}

TEST(OfferedPorts, ReportsTheLargestSources) {
  OffersBySource counts;
  std::vector<OfferedPorts> all(100);
  for (std::uint8_t i = 0; i < 100; ++i) {
    all[i].add(counts, IpAddress::v4(192, 0, 2, i), 1 + i);
  }
  const auto report = counts.report();
  ASSERT_EQ(report.most.size(), OffersBySource::kMaxReported);
  for (std::uint8_t i = 0; i < report.most.size(); ++i) {
    EXPECT_EQ(report.most[i].ports, 2U * (100U - i));
  }
}

}  // namespace
}  // namespace millrace

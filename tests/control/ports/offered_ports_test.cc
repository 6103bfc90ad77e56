// SPDX-License-Identifier: BSD-3-Clause
#include "control/ports/offered_ports.h"

#include <array>
#include <optional>

#include <gtest/gtest.h>

namespace millrace {
namespace {

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

OfferedPorts offered(std::optional<IpAddress> by, std::ptrdiff_t pairs) {
  OfferedPorts result;
  result.add(by, pairs);
  return result;
}

TEST(OfferedPorts, KeepTheirFirstSource) {
  OfferedPorts ports = offered(ip("192.0.2.1"), 2);
  EXPECT_EQ(ports, (OfferedPorts{ip("192.0.2.1"), 4}));
  // A later offer of the same dialog, wherever it comes from.
  ports.add(ip("192.0.2.9"), 1);
  EXPECT_EQ(ports, (OfferedPorts{ip("192.0.2.1"), 6}));
  ports.add(ip("192.0.2.9"), -2);
  EXPECT_EQ(ports.ports, 2);
  ports.add(ip("192.0.2.9"), -5);
  EXPECT_EQ(ports.ports, 0);
}

TEST(OfferedPorts, CountBySourceUntilTheAnswer) {
  OffersBySource counts;
  const std::array all = {offered(ip("192.0.2.1"), 2), offered(ip("192.0.2.1"), 3),
                          offered(ip("192.0.2.2"), 1), offered(std::nullopt, 2), OfferedPorts()};
  for (const OfferedPorts& each : all) counts.add(each);
  const auto report = counts.report();
  EXPECT_EQ(report.all, 16U);
  ASSERT_EQ(report.most.size(), 3U);
  EXPECT_EQ(report.most[0].address, ip("192.0.2.1"));
  EXPECT_EQ(report.most[0].ports, 10U);
  EXPECT_EQ(report.most[1].address, std::nullopt);
  EXPECT_EQ(report.most[2].ports, 2U);
  counts.remove(all[1]);
  EXPECT_EQ(counts.report().all, 10U);
  counts.remove(all[2]);
  EXPECT_EQ(counts.sources(), 2U);
  for (const std::size_t i : {0U, 3U, 4U}) counts.remove(all[i]);
  EXPECT_EQ(counts.report().all, 0U);
  EXPECT_EQ(counts.sources(), 0U);
}

TEST(OfferedPorts, SourcesOfOneIpv6NetworkCountAsOne) {
  OffersBySource counts;
  counts.add(offered(ip("2001:db8::1"), 1));
  counts.add(offered(ip("2001:db8::ffff:1"), 1));
  const auto report = counts.report();
  ASSERT_EQ(report.most.size(), 1U);
  EXPECT_EQ(report.most[0].address, ip("2001:db8::"));
  EXPECT_EQ(report.most[0].ports, 4U);
}

TEST(OfferedPorts, ReportsTheLargestSources) {
  OffersBySource counts;
  for (std::uint8_t i = 0; i < 100; ++i) {
    counts.add(offered(IpAddress::v4(192, 0, 2, i), 1 + i));
  }
  const auto report = counts.report();
  ASSERT_EQ(report.most.size(), OffersBySource::kMaxReported);
  for (std::uint8_t i = 0; i < report.most.size(); ++i) {
    EXPECT_EQ(report.most[i].ports, 2U * (100U - i));
  }
}

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/ethdev.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(DeviceLock, IsExclusiveUntilReleased) {
  {
    const auto first = DeviceLock::take("net_af_packet0,iface=ethdev_test");
    ASSERT_TRUE(first);
    const auto second = DeviceLock::take("net_af_xdp7,iface=ethdev_test");
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().message, AllOf(HasSubstr("device 'net_af_xdp7,iface=ethdev_test'"),
                                              HasSubstr("another millrace (process " +
                                                        std::to_string(getpid()) + ") uses it"),
                                              HasSubstr("ss -xap")));
    EXPECT_TRUE(DeviceLock::take("net_af_packet0,iface=ethdev_test2"));
  }
  EXPECT_TRUE(DeviceLock::take("net_af_packet0,iface=ethdev_test"));
}

TEST(DeviceLock, IsOfThePciFunctionHoweverItIsWritten) {
  const auto first = DeviceLock::take("0000:ff:1f.7");
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_FALSE(DeviceLock::take("0000:ff:1f.7,some=argument"));
  EXPECT_TRUE(DeviceLock::take("0000:ff:1f.6"));
}

TEST(DeviceLock, NeedsNoneWhereNothingIsShared) {
  const auto first = DeviceLock::take("net_ring0");
  const auto second = DeviceLock::take("net_ring0");
  EXPECT_TRUE(first && second);
}

TEST(DeviceLock, OfAllOrNone) {
  const std::vector<std::string> devices{"net_af_packet0,iface=ethdev_test3",
                                         "net_af_packet1,iface=ethdev_test4"};
  {
    const auto other = DeviceLock::take(devices[1]);
    ASSERT_TRUE(other);
    const auto refused = DeviceLock::take_all(devices);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("iface=ethdev_test4"));
    EXPECT_TRUE(DeviceLock::take(devices[0])) << "the first was given back";
  }
  const auto held = DeviceLock::take_all(devices);
  ASSERT_TRUE(held);
  EXPECT_EQ(held->size(), 2U);
  for (const std::string& device : devices) EXPECT_FALSE(DeviceLock::take(device));
}

TEST(WithQueues, AsksForWhatTheWorkersNeed) {
  EXPECT_EQ(with_queues("net_af_packet0,iface=x", 1), "net_af_packet0,iface=x,framecnt=4096");
  EXPECT_EQ(with_queues("net_af_packet0,iface=x", 2),
            "net_af_packet0,iface=x,framecnt=4096,qpairs=2");
  EXPECT_EQ(with_queues("net_af_xdp0,iface=x", 2),
            "net_af_xdp0,iface=x,busy_budget=0,queue_count=2");
  EXPECT_EQ(with_queues("net_tap0,iface=x", 2), "net_tap0,iface=x");
}

TEST(WithQueues, LeavesTheOperatorsChoice) {
  EXPECT_EQ(with_queues("net_af_packet0,iface=x,framecnt=64,qpairs=4", 2),
            "net_af_packet0,iface=x,framecnt=64,qpairs=4");
  EXPECT_EQ(with_queues("net_af_xdp0,iface=x,busy_budget=64", 1),
            "net_af_xdp0,iface=x,busy_budget=64");
}

}  // namespace
}  // namespace millrace

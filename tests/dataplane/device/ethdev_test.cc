// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/device/ethdev.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/temporary_directory.h"

namespace millrace {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DeviceLockTest : public testing::Test {
 protected:
  [[nodiscard]] Result<DeviceLock> take(std::string_view device) const {
    return DeviceLock::take(device, directory());
  }
  [[nodiscard]] std::string directory() const { return parent_ / "millrace"; }

  TemporaryDirectory parent_;
};

TEST_F(DeviceLockTest, IsExclusiveUntilReleasedWithoutWaiting) {
  {
    const auto first = take("net_af_packet0,iface=x");
    ASSERT_TRUE(first) << first.error().message;
    for (int i = 0; i < 3; ++i) {
      const auto other = take("net_af_xdp7,iface=x");
      ASSERT_FALSE(other);
      EXPECT_THAT(other.error().message, AllOf(HasSubstr("device 'net_af_xdp7,iface=x'"),
                                               HasSubstr("another millrace (process " +
                                                         std::to_string(getpid()) + ") uses it"),
                                               HasSubstr(directory())));
    }
    EXPECT_TRUE(take("net_af_packet0,iface=y"));
  }
  EXPECT_TRUE(take("net_af_packet0,iface=x"));
  EXPECT_TRUE(std::filesystem::is_empty(directory()));
}

// Any user could bind an abstract name, fill its backlog and so keep each start waiting.
TEST_F(DeviceLockTest, IgnoresAbstractSockets) {
  const FileDescriptor squatter(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "millrace/device/x";
  name.copy(address.sun_path + 1, name.size());
  ASSERT_EQ(bind(squatter.get(), reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())),
            0);
  EXPECT_TRUE(take("net_af_packet0,iface=x"));
}

TEST_F(DeviceLockTest, IsPerPciFunctionInAnyNotation) {
  const auto first = take("0000:ff:1f.7");
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_FALSE(take("0000:ff:1f.7,some=argument"));
  EXPECT_FALSE(take("FF:1F.7"));
  EXPECT_TRUE(take("0000:ff:1f.6"));
}

TEST_F(DeviceLockTest, UnsharedDevicesNeedNone) {
  const auto first = take("net_ring0");
  const auto second = take("net_ring0");
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(std::filesystem::exists(directory()));
}

TEST_F(DeviceLockTest, LocksAllDevicesOrNone) {
  const std::vector<std::string> devices{"net_af_packet0,iface=x", "net_af_packet1,iface=y"};
  {
    const auto other = take(devices[1]);
    ASSERT_TRUE(other);
    const auto refused = DeviceLock::take_all(devices, directory());
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("iface=y"));
    EXPECT_TRUE(take(devices[0])) << "the first was given back";
  }
  const auto held = DeviceLock::take_all(devices, directory());
  ASSERT_TRUE(held);
  EXPECT_EQ(held->size(), 2U);
  for (const std::string& device : devices) EXPECT_FALSE(take(device));
}

TEST_F(DeviceLockTest, NamesTheMissingDirectory) {
  const auto refused = DeviceLock::take("net_af_packet0,iface=x", directory() + "/deeper");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              AllOf(HasSubstr("cannot be locked"), HasSubstr(directory() + "/deeper"),
                    HasSubstr("No such file or directory")));
}

TEST(WithQueues, RequestsTheQueuesOfTheWorkers) {
  EXPECT_EQ(with_queues("net_af_packet0,iface=x", 1), "net_af_packet0,iface=x,framecnt=4096");
  EXPECT_EQ(with_queues("net_af_packet0,iface=x", 2),
            "net_af_packet0,iface=x,framecnt=4096,qpairs=2");
  EXPECT_EQ(with_queues("net_af_xdp0,iface=x", 2),
            "net_af_xdp0,iface=x,busy_budget=0,queue_count=2");
  EXPECT_EQ(with_queues("net_tap0,iface=x", 2), "net_tap0,iface=x");
}

TEST(WithQueues, KeepsTheQueuesOfTheOperator) {
  EXPECT_EQ(with_queues("net_af_packet0,iface=x,framecnt=64,qpairs=4", 2),
            "net_af_packet0,iface=x,framecnt=64,qpairs=4");
  EXPECT_EQ(with_queues("net_af_xdp0,iface=x,busy_budget=64", 1),
            "net_af_xdp0,iface=x,busy_budget=64");
}

}  // namespace
}  // namespace millrace

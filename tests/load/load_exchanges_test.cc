// SPDX-License-Identifier: BSD-3-Clause
// Requests and replies over the sockets of the bare server that latency is measured against.
#include <gmock/gmock.h>

#include <filesystem>
#include <map>

#include <gtest/gtest.h>

#include "perf/load/echo.h"
#include "perf/load/exchanges.h"

namespace millrace::loadgen {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

const std::string kReply = "d6:result4:ponge";

ControlAddress unix_socket(bool keep) {
  ControlAddress address;
  address.path = "/anything";  // the echo server makes its own
  address.keep = keep;
  return address;
}

ControlAddress datagrams() { return ControlAddress::parse("udp:127.0.0.1:9").value(); }

struct LoadExchanges : ::testing::TestWithParam<ControlAddress> {};

TEST_P(LoadExchanges, EveryTicketGetsItsReply) {
  const auto echo = Echo::start(GetParam(), kReply, 0);
  ASSERT_TRUE(echo.has_value()) << echo.error().message;
  const unsigned most = GetParam().keep ? 1 : 4;  // the server has one connection at a time
  auto exchanges = Exchanges::open(echo->address(), ng_dialect(), most);
  ASSERT_TRUE(exchanges.has_value()) << exchanges.error().message;
  std::map<std::uint32_t, int> replies;
  std::uint32_t next = 0;
  while (replies.size() < 100) {
    while (next < 100 && exchanges->has_room()) exchanges->send(next++, "d7:command4:pinge");
    EXPECT_LE(exchanges->outstanding(), most);
    for (const auto& done : exchanges->poll(milliseconds(100))) {
      ASSERT_TRUE(done.reply.has_value()) << done.reply.error().message;
      EXPECT_EQ(*done.reply, kReply);
      EXPECT_GT(done.took.count(), 0);
      ++replies[done.ticket];
    }
  }
  for (const auto& [ticket, count] : replies) EXPECT_EQ(count, 1) << ticket;
  EXPECT_EQ(exchanges->outstanding(), 0);
  EXPECT_EQ(exchanges->ask("d7:command4:pinge").value(), kReply);
}

INSTANTIATE_TEST_SUITE_P(Sockets, LoadExchanges,
                         ::testing::Values(unix_socket(false), unix_socket(true), datagrams()),
                         [](const auto& tested) {
                           const ControlAddress& address = tested.param;
                           return address.udp ? "udp" : address.keep ? "kept" : "new";
                         });

TEST(LoadExchanges, ReplyOfAnotherProtocolIsRefused) {
  const auto echo = Echo::start(unix_socket(false), "HTTP/1.1 400 Bad Request\r\n", 0);
  ASSERT_TRUE(echo.has_value()) << echo.error().message;
  auto exchanges = Exchanges::open(echo->address(), ng_dialect(), 1);
  ASSERT_TRUE(exchanges.has_value());
  EXPECT_THAT(exchanges->ask("d7:command4:pinge").error().message, HasSubstr("is not valid ng"));
}

TEST(LoadExchanges, ErrorOfAMissingServerNamesTheRemedy) {
  ControlAddress nowhere = unix_socket(false);
  nowhere.path = "/nonexistent/ng.sock";
  auto exchanges = Exchanges::open(nowhere, ng_dialect(), 1);
  ASSERT_TRUE(exchanges.has_value());
  EXPECT_THAT(exchanges->ask("d7:command4:pinge").error().message, HasSubstr("is it running"));
  nowhere.network = "/nonexistent/netns";
  EXPECT_THAT(Exchanges::open(nowhere, ng_dialect(), 1).error().message,
              HasSubstr("--control-netns"));
}

TEST(LoadExchanges, EchoServerRemovesItsSocketAndDirectory) {
  std::string path;
  {
    const auto echo = Echo::start(unix_socket(true), kReply, 0);
    ASSERT_TRUE(echo.has_value());
    path = echo->address().path;
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(path).parent_path()));
}

TEST(LoadControlAddress, ParsesAndPrintsUnixAndUdpAddresses) {
  EXPECT_EQ(ControlAddress::parse("unix:/run/ng.sock")->text(), "unix:/run/ng.sock");
  EXPECT_EQ(ControlAddress::parse("/run/ng.sock")->text(), "unix:/run/ng.sock");
  EXPECT_EQ(ControlAddress::parse("udp:[::1]:2223")->text(), "udp:[::1]:2223");
  EXPECT_FALSE(ControlAddress::parse("unix:").has_value());
  EXPECT_FALSE(ControlAddress::parse("udp:127.0.0.1").has_value());
  EXPECT_THAT(ControlAddress::parse("/" + std::string(107, 'x')).error().message, HasSubstr("107"));
}

}  // namespace
}  // namespace millrace::loadgen

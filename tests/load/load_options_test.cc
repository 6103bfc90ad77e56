// SPDX-License-Identifier: BSD-3-Clause
#include <gmock/gmock.h>

#include <initializer_list>
#include <vector>

#include <gtest/gtest.h>

#include "perf/load/options.h"

namespace millrace::loadgen {
namespace {

using ::testing::HasSubstr;

std::expected<Options, Exit> parse(std::initializer_list<const char*> words) {
  std::vector<const char*> argv{"millrace-load"};
  argv.insert(argv.end(), words);
  return parse_options(static_cast<int>(argv.size()), argv.data(), "millrace-load 1.2 (x)");
}

void expect_wrong(std::initializer_list<const char*> words, const char* complaint) {
  const auto options = parse(words);
  ASSERT_FALSE(options.has_value());
  EXPECT_EQ(options.error().status, 2);
  EXPECT_EQ(options.error().output, "");
  EXPECT_THAT(options.error().error, HasSubstr(complaint));
}

TEST(LoadOptions, VoiceByDefault) {
  const auto options = parse({"run", "--control", "unix:/run/ng.sock"});
  ASSERT_TRUE(options.has_value()) << options.error().error;
  EXPECT_EQ(options->mode, Mode::run);
  EXPECT_EQ(options->control.path, "/run/ng.sock");
  EXPECT_FALSE(options->control.keep);
  EXPECT_EQ(options->shape.payload, 160);
  EXPECT_EQ(options->shape.interval, std::chrono::milliseconds(20));
  EXPECT_EQ(options->command_line, "millrace-load run --control unix:/run/ng.sock");
}

TEST(LoadOptions, AllOptionsAreParsed) {
  const auto options = parse({"churn",
                              "--control",
                              "udp:127.0.0.1:2223",
                              "--calls",
                              "100",
                              "--cps",
                              "50",
                              "--hold",
                              "2",
                              "--codec",
                              "opus",
                              "--payload",
                              "120",
                              "--interval",
                              "10",
                              "--caller",
                              "198.18.0.10",
                              "--callee",
                              "198.18.0.20:30000",
                              "--direction",
                              "a,b",
                              "--rtcp-mux",
                              "--max-loss",
                              "0.5"});
  ASSERT_TRUE(options.has_value()) << options.error().error;
  EXPECT_EQ(options->mode, Mode::churn);
  EXPECT_EQ(options->control.udp->text(), "127.0.0.1:2223");
  EXPECT_EQ(options->shape.name, "opus");
  EXPECT_EQ(options->shape.payload, 120);
  EXPECT_EQ(options->shape.ticks(), 480);
  EXPECT_EQ(options->parties[0].text(), "198.18.0.10:20000");
  EXPECT_EQ(options->parties[1].text(), "198.18.0.20:30000");
  EXPECT_EQ(options->directions, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options->max_loss, 0.5);
}

TEST(LoadOptions, MediaproxyKeepsItsConnections) {
  EXPECT_TRUE(parse({"run", "--control", "/run/d.sock", "--protocol", "mediaproxy"})->control.keep);
  EXPECT_FALSE(
      parse({"run", "--control", "/run/d.sock", "--protocol", "mediaproxy", "--connections", "new"})
          ->control.keep);
}

TEST(LoadOptions, DevicesNeedTheirNetworks) {
  const auto options =
      parse({"run", "--control", "/s", "--device", "net_ring0", "--caller", "198.18.0.10/24",
             "--callee", "198.18.0.11/24", "--gateway", "198.18.0.1"});
  ASSERT_TRUE(options.has_value()) << options.error().error;
  EXPECT_EQ(options->devices[1], "net_ring0");
  EXPECT_EQ(options->prefix_lengths[1], 24);
  EXPECT_EQ(options->parties[1].text(), "198.18.0.11:22000");
  expect_wrong({"run", "--control", "/s", "--device", "net_ring0"}, "198.18.0.10/24");
  expect_wrong({"run", "--control", "/s", "--callee-device", "net_ring0"}, "need --device");
  expect_wrong({"run", "--control", "/s", "--hugepages"}, "need --device");
}

TEST(LoadOptions, ModesWithoutMediaDefaultToBenchmarkAddresses) {
  for (const char* const mode : {"control", "fill", "latency"}) {
    EXPECT_EQ(parse({mode, "--control", "/s"})->parties[0].address.text(), "198.18.0.10");
    EXPECT_EQ(parse({mode, "--control", "/s", "--caller", "192.0.2.1"})->parties[0].text(),
              "192.0.2.1:20000");
  }
}

TEST(LoadOptions, HelpAndVersionExitWithZero) {
  EXPECT_EQ(parse({"--help"}).error().status, 0);
  EXPECT_THAT(parse({"run", "--help"}).error().output, HasSubstr("--control"));
  EXPECT_THAT(parse({"--version"}).error().output, HasSubstr("millrace-load 1.2 (x)\n"));
}

TEST(LoadOptions, ErrorsNameTheOptionAndTheRemedy) {
  expect_wrong({}, "subcommand");
  expect_wrong({"run"}, "--control");
  expect_wrong({"run", "--control", "tcp:1.2.3.4:5"}, "write unix:/run/millrace/ng.sock");
  expect_wrong({"run", "--control", "udp:127.0.0.1"}, "udp:127.0.0.1:2223");
  expect_wrong({"run", "--control", "/s", "--codec", "mp3"}, "--codec");
  expect_wrong({"run", "--control", "/s", "--payload", "7"}, "--payload");
  expect_wrong({"run", "--control", "/s", "--payload", "1461"}, "--payload");
  expect_wrong({"run", "--control", "/s", "--caller", "nobody"}, "--caller: 'nobody'");
  expect_wrong({"run", "--control", "/s", "--callee", "198.18.0.1:20001"}, "even");
  expect_wrong({"run", "--control", "/s", "--callee", "198.18.0.1:65530"}, "room");
  expect_wrong({"run", "--control", "/s", "--hold", "3"}, "--hold needs --cps");
  expect_wrong({"run", "--control", "/s", "--calls", "0"}, "--calls 0");
  expect_wrong({"churn", "--control", "/s", "--cps", "3"}, "churn needs --cps and --hold");
  expect_wrong({"run", "--control", "/s", "--direction", "a"}, "--direction");
  expect_wrong({"run", "--control", "udp:127.0.0.1:5", "--protocol", "mediaproxy"}, "UNIX");
  expect_wrong({"run", "--control", "/s", "--colour"}, "--colour");
}

}  // namespace
}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#include "control/options.h"

#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

std::expected<Options, EarlyExit> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "millrace");
  return parse_options(static_cast<int>(arguments.size()), arguments.data(), "millrace 1.2 (x)");
}

TEST(Options, AreOptional) {
  const auto options = parse({});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->config, "/etc/millrace/millrace.toml");
  EXPECT_FALSE(options->check);
  EXPECT_FALSE(options->log_format);
  EXPECT_FALSE(options->log_level);
}

TEST(Options, ParsesAllOptions) {
  const auto options =
      parse({"--config", "a.toml", "--check", "--log-format", "json", "--log-level", "error"});
  ASSERT_TRUE(options) << options.error().error;
  EXPECT_EQ(options->config, "a.toml");
  EXPECT_TRUE(options->check);
  EXPECT_EQ(options->log_format, LogFormat::json);
  EXPECT_EQ(options->log_level, "error");
}

TEST(Options, OverrideTheFileOnlyWhenGiven) {
  Config config;
  config.log.format = LogFormat::json;
  config.log.level = "debug";
  apply(Options{}, config);
  EXPECT_EQ(config.log.format, LogFormat::json);
  EXPECT_EQ(config.log.level, "debug");
  apply(Options{.log_format = LogFormat::text, .log_level = "warning"}, config);
  EXPECT_EQ(config.log.format, LogFormat::text);
  EXPECT_EQ(config.log.level, "warning");
}

TEST(Options, HelpNamesEveryOptionAndItsDefault) {
  const auto exit = parse({"--help"});
  ASSERT_FALSE(exit);
  EXPECT_EQ(exit.error().status, 0);
  EXPECT_EQ(exit.error().error, "");
  for (const char* text :
       {"--config", "/etc/millrace/millrace.toml", "--check", "--log-format", "text|json",
        "--log-level", "default: info", "--version", "Exit status"}) {
    EXPECT_NE(exit.error().output.find(text), std::string::npos) << text;
  }
}

TEST(Options, VersionExitsWithZero) {
  const auto exit = parse({"--version"});
  ASSERT_FALSE(exit);
  EXPECT_EQ(exit.error().status, 0);
  EXPECT_EQ(exit.error().output, "millrace 1.2 (x)\n");
}

TEST(Options, WrongCommandLinesExitWithTwoAndTheReason) {
  const std::vector<std::vector<const char*>> wrong = {
      {"--nosuch"}, {"stray"}, {"--config"}, {"--log-format", "xml"}, {"--log-level", "loud"}};
  for (const auto& arguments : wrong) {
    const auto exit = parse(arguments);
    ASSERT_FALSE(exit) << arguments[0];
    EXPECT_EQ(exit.error().status, kExitConfiguration);
    EXPECT_NE(exit.error().error.find(arguments.back()), std::string::npos) << exit.error().error;
  }
}

}  // namespace
}  // namespace millrace

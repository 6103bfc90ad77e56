// SPDX-License-Identifier: BSD-3-Clause
#include "control/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/captured_stderr.h"
#include "tests/slowness.h"

namespace millrace {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;

const system_clock::time_point kTime{std::chrono::seconds(1'767'225'600) + microseconds(42)};

std::string text(std::initializer_list<Field> fields) {
  return format_line(LogFormat::text, Level::info, kTime, "offer", fields);
}
nlohmann::json json(std::initializer_list<Field> fields) {
  return nlohmann::json::parse(
      format_line(LogFormat::json, Level::warning, kTime, "offer", fields));
}

// Standard error goes to a full disk for its lifetime.
class FullDisk {
 public:
  FullDisk() : saved_(::dup(STDERR_FILENO)), writes_(writes()) {
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    ::dup2(full, STDERR_FILENO);
    ::close(full);
  }
  ~FullDisk() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

  // Until the process has made `count` calls of write(2) since the start, refused or not.
  void wait_until_refused(std::uint64_t count) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (writes() < writes_ + count && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(writes(), writes_ + count);
  }

 private:
  static std::uint64_t writes() {  // proc(5), /proc/pid/io
    std::ifstream io("/proc/self/io");
    std::string key;
    std::uint64_t value = 0;
    while (io >> key >> value && key != "syscw:") {
    }
    return value;
  }
  int saved_;
  std::uint64_t writes_;
};

TEST(FormatLine, TextIsLogfmt) {
  EXPECT_EQ(text({{"call-id", "1-21645@127.0.0.1"}, {"sections", 2}, {"lost", -1}}),
            "2026-01-01T00:00:00.000042Z info offer call-id=1-21645@127.0.0.1 sections=2 lost=-1");
}

TEST(FormatLine, TextQuotesWhatCouldForgeAField) {
  const std::string prefix = text({}) + " call-id=";
  EXPECT_EQ(text({{"call-id", "a b"}}), prefix + R"("a b")");
  EXPECT_EQ(text({{"call-id", "a=b"}}), prefix + R"("a=b")");
  EXPECT_EQ(text({{"call-id", "a\"b\\c"}}), prefix + R"("a\"b\\c")");
}

TEST(FormatLine, TextEscapesControlCharactersAndBytesAboveAscii) {
  EXPECT_EQ(text({{"call-id", std::string_view("a\r\n\x1b[2J\0\x7f\xc2\x9b", 11)}}),
            text({}) + R"( call-id="a\x0d\x0a\x1b[2J\x00\x7f\xc2\x9b")");
}

TEST(FormatLine, JsonIsParsedBackToTheSameValues) {
  const auto line = json({{"call-id", "a\"\\\n\x1b\x01 b"}, {"sections", 2}});
  EXPECT_EQ(line["time"], "2026-01-01T00:00:00.000042Z");
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["event"], "offer");
  EXPECT_EQ(line["call-id"], "a\"\\\n\x1b\x01 b");
  EXPECT_EQ(line["sections"], 2);
}

TEST(FormatLine, JsonIsAsciiForAnyBytes) {
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  const std::array fields = {Field("call-id", every)};
  const std::string line = format_line(LogFormat::json, Level::info, kTime, "offer", fields);
  EXPECT_TRUE(nlohmann::json::accept(line));
  for (const char c : line) EXPECT_TRUE(c >= ' ' && c <= '~') << int{c};
}

TEST(FormatLine, CutsLongValues) {
  const std::string value(kMaxLogValue + 1, 'x');
  EXPECT_EQ(json({{"call-id", value}})["call-id"], std::string(kMaxLogValue, 'x') + "...");
  EXPECT_EQ(json({{"call-id", value.substr(1)}})["call-id"], value.substr(1));
}

TEST(LineLimit, EachLevelHasItsOwnAndSuppressedLinesAreCounted) {
  LineLimit limit(2);
  EXPECT_TRUE(limit.take(Level::info));
  EXPECT_TRUE(limit.take(Level::info));
  EXPECT_FALSE(limit.take(Level::info));
  EXPECT_FALSE(limit.take(Level::info));
  EXPECT_TRUE(limit.take(Level::error));
  EXPECT_EQ(limit.reset(), (std::array<std::uint64_t, kLevels>{0, 2, 0, 0}));
  EXPECT_TRUE(limit.take(Level::info));
  EXPECT_EQ(limit.reset(), (std::array<std::uint64_t, kLevels>{0, 0, 0, 0}));
}

TEST(Logging, IsSilentBelowItsLevelAndOutsideItsLifetime) {
  const CapturedStderr captured;
  log_event(Level::error, "before");
  EXPECT_FALSE(log_enabled(Level::error));
  {
    const Logging logging(Log{.level = "warning"});
    EXPECT_FALSE(log_enabled(Level::info));
    EXPECT_TRUE(log_enabled(Level::warning));
    log_event(Level::info, "too-low");
    log_event(Level::warning, "written", {{"n", 1}});
  }
  log_event(Level::error, "after");
  const auto lines = captured.lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find(" warning written n=1"), std::string::npos);
}

TEST(Logging, ReportsOnceTheSuppressedLines) {
  const CapturedStderr captured;
  {
    const Logging logging(Log{.format = LogFormat::json, .lines_per_second = 3});
    for (int i = 0; i < 10; ++i) log_event(Level::info, "line", {{"n", i}});
    log_tick();
    log_tick();
  }
  const auto lines = captured.lines();
  ASSERT_EQ(lines.size(), 4U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(nlohmann::json::parse(lines[static_cast<std::size_t>(i)])["n"], i);
  }
  const auto summary = nlohmann::json::parse(lines[3]);
  EXPECT_EQ(summary["event"], "log-lines-lost");
  EXPECT_EQ(summary["info"], 7);
  EXPECT_EQ(summary["queue-full"], 0);
}

TEST(Logging, StalledReaderDoesNotBlockLogging) {
  const CapturedStderr captured;
  captured.fill();
  const auto start = std::chrono::steady_clock::now();
  {
    const Logging logging(Log{.lines_per_second = 1'000'000});
    for (int i = 0; i < 20'000; ++i) log_event(Level::info, "line", {{"n", i}});
    log_tick();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2) * kSlowness);
}

TEST(Logging, ReportsOnceTheLinesLostToAFullDisk) {
  const CapturedStderr captured;
  std::vector<std::string> lines;
  const auto read = [&] { std::ranges::move(captured.lines(), std::back_inserter(lines)); };
  {
    const Logging logging(Log{.format = LogFormat::json});
    {
      const FullDisk full;
      for (int i = 0; i < 5; ++i) log_event(Level::info, "lost", {{"n", i}});
      full.wait_until_refused(5);
      log_tick();  // must not spend the count on a line that is lost as well
    }
    log_event(Level::info, "written");
    captured.wait_until_readable();
    read();
    // A reader can be ahead of the writer, which still counts as failing: a later tick reports.
    for (int i = 0; i < 1000 && lines.size() < 2; ++i) {
      log_tick();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      read();
    }
    log_tick();
  }
  read();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(nlohmann::json::parse(lines[0])["event"], "written");
  const auto summary = nlohmann::json::parse(lines[1]);
  EXPECT_EQ(summary["event"], "log-lines-lost");
  EXPECT_EQ(summary["not-written"], 5);
}

TEST(FormatLine, LeavesOutFieldsWithoutText) {
  const std::array<Field, 3> fields = {Field{"to-tag", ""}, {"n", 0}, {"call-id", "x"}};
  const std::string text = format_line(LogFormat::text, Level::info, {}, "offer", fields);
  EXPECT_TRUE(text.ends_with("info offer n=0 call-id=x")) << text;
  const std::string json = format_line(LogFormat::json, Level::info, {}, "offer", fields);
  EXPECT_FALSE(nlohmann::json::parse(json).contains("to-tag")) << json;
}

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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

// Standard error goes into a pipe for its lifetime.
class CapturedStderr {
 public:
  CapturedStderr() : saved_(::dup(STDERR_FILENO)) {
    EXPECT_EQ(::pipe2(ends_, O_CLOEXEC | O_NONBLOCK), 0);
    ::dup2(ends_[1], STDERR_FILENO);
  }
  ~CapturedStderr() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;

  // Makes the pipe full, as a reader that hangs would.
  void fill() const {
    const std::string block(4096, '.');
    while (::write(ends_[1], block.data(), block.size()) > 0) {
    }
  }
  [[nodiscard]] std::vector<std::string> lines() const {
    std::string all;
    std::array<char, 4096> buffer{};
    for (ssize_t n; (n = ::read(ends_[0], buffer.data(), buffer.size())) > 0;) {
      all.append(buffer.data(), static_cast<std::size_t>(n));
    }
    std::vector<std::string> result;
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t end = all.find('\n', at);
      result.push_back(all.substr(at, end - at));
      at = end == std::string::npos ? all.size() : end + 1;
    }
    return result;
  }

 private:
  int saved_;
  int ends_[2] = {-1, -1};
};

TEST(FormatLine, TextIsLogfmt) {
  EXPECT_EQ(text({{"call-id", "1-21645@127.0.0.1"}, {"medias", 2}, {"lost", -1}}),
            "2026-01-01T00:00:00.000042Z info offer call-id=1-21645@127.0.0.1 medias=2 lost=-1");
}

TEST(FormatLine, TextQuotesWhatCouldForgeAField) {
  const std::string prefix = text({}) + " call-id=";
  EXPECT_EQ(text({{"call-id", ""}}), prefix + R"("")");
  EXPECT_EQ(text({{"call-id", "a b"}}), prefix + R"("a b")");
  EXPECT_EQ(text({{"call-id", "a=b"}}), prefix + R"("a=b")");
  EXPECT_EQ(text({{"call-id", "a\"b\\c"}}), prefix + R"("a\"b\\c")");
}

TEST(FormatLine, TextEscapesControlCharactersAndBytesAboveAscii) {
  EXPECT_EQ(text({{"call-id", std::string_view("a\r\n\x1b[2J\0\x7f\xc2\x9b", 11)}}),
            text({}) + R"( call-id="a\x0d\x0a\x1b[2J\x00\x7f\xc2\x9b")");
}

TEST(FormatLine, JsonIsParsedBackToTheSameValues) {
  const auto line = json({{"call-id", "a\"\\\n\x1b\x01 b"}, {"medias", 2}});
  EXPECT_EQ(line["time"], "2026-01-01T00:00:00.000042Z");
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["event"], "offer");
  EXPECT_EQ(line["call-id"], "a\"\\\n\x1b\x01 b");
  EXPECT_EQ(line["medias"], 2);
}

TEST(FormatLine, JsonIsAsciiWhateverTheBytes) {
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

TEST(LineBudget, EachLevelHasItsOwnAndRefusalsAreCounted) {
  LineBudget budget(2);
  EXPECT_TRUE(budget.take(Level::info));
  EXPECT_TRUE(budget.take(Level::info));
  EXPECT_FALSE(budget.take(Level::info));
  EXPECT_FALSE(budget.take(Level::info));
  EXPECT_TRUE(budget.take(Level::error));
  EXPECT_EQ(budget.refill(), (std::array<std::uint64_t, kLevels>{0, 2, 0, 0}));
  EXPECT_TRUE(budget.take(Level::info));
  EXPECT_EQ(budget.refill(), (std::array<std::uint64_t, kLevels>{0, 0, 0, 0}));
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

TEST(Logging, TellsOnceWhatTheBudgetRefused) {
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

TEST(Logging, AReaderThatHangsBlocksNobody) {
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

}  // namespace
}  // namespace millrace

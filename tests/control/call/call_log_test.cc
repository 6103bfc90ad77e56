// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/call_log.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/log.h"
#include "tests/captured_stderr.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

class CallLogTest : public CallTest {
 protected:
  // The lines that `act` logs.
  template <typename Act>
  static std::vector<nlohmann::json> logged(Act&& act, std::string level = "info") {
    const CapturedStderr captured;
    {
      const Logging logging(Log{.level = std::move(level), .format = LogFormat::json});
      act();
    }
    std::vector<nlohmann::json> lines;
    for (const std::string& line : captured.lines()) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  [[nodiscard]] static std::string at(LocalPort port) {
    return "198.18.0.10:" + std::to_string(port.port.number());
  }
};

TEST_F(CallLogTest, OfferAndAnswerLogBothAddressesOfEachSection) {
  const auto lines = logged([&] { establish(); });
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["event"], "offer");
  EXPECT_EQ(lines[0]["media"], "audio 198.18.0.100:4000 " + at(to_b));
  EXPECT_FALSE(lines[0].contains("to-tag")) << "an empty tag";
  EXPECT_EQ(lines[1]["event"], "answer");
  EXPECT_EQ(lines[1]["media"], "audio 198.18.0.200:5000 " + at(to_a));
}

TEST_F(CallLogTest, StateOfACallIsLoggedForDebugging) {
  establish();
  Request refused = reoffer(audio(kA, 4100));
  const auto lines = logged([&] { std::ignore = print(refused); }, "debug");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1]["event"], "state");
  const std::string state = lines[1]["state"];
  EXPECT_NE(state.find("audio live 198.18.0.100:4000, proposes audio live 198.18.0.100:4100"),
            std::string::npos)
      << state;
}

TEST_F(CallLogTest, DegradedRequestsAreLoggedOnce) {
  establish();
  Request hidden = request(Command::offer);
  hidden.fragment = true;
  hidden.sdp = "a=ice-ufrag:a\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n";
  hidden.edits.ice = IceHandling::remove;
  Request blocked = request(Command::block_media);
  blocked.unsupported = "flags: ignored";
  Request gone = request(Command::remove);
  gone.call_id = "unknown";  // a warning for the proxy alone
  const auto lines = logged([&] {
    for (const Request* each : {&hidden, &blocked, &gone}) std::ignore = handle(*each);
  });
  std::vector<std::string> reasons;
  for (const auto& line : lines) {
    if (line["event"] == "request-degraded") reasons.push_back(line["reason"]);
  }
  EXPECT_EQ(reasons, (std::vector<std::string>{
                         "ICE: candidates of a fragment are not hidden; do not forward it",
                         "flags: ignored"}));
}

TEST_F(CallLogTest, RefusedSectionIsNamed) {
  establish();
  const auto lines =
      logged([&] { std::ignore = print(offer(audio(kA, 4000) + media("video", 0))); });
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_TRUE(lines[0]["media"].get<std::string>().ends_with(" refused")) << lines[0];
}

TEST_F(CallLogTest, MediaTimeoutNamesTheSilentParty) {
  establish();
  const auto lines = logged([&] { expire_after(3700s); });
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["event"], "media-timeout");
  EXPECT_EQ(lines[0]["silent-seconds"], "A never, B never");
  EXPECT_EQ(lines[0]["packets"], "A 0, B 0");
}

TEST_F(CallLogTest, FiguresAreByParty) {
  CallReport report;
  report.tags.resize(2);
  report.tags[0].tag = "A";
  report.tags[1].tag = "B";
  FlowReport rtp, rtcp;
  rtp.packets = 300;
  rtp.lost = 2;
  rtp.idle = 61s;
  rtcp.packets = 2;
  rtcp.idle = 64s;
  report.tags[0].sections.resize(1);
  report.tags[0].sections[0].streams.resize(2);
  report.tags[0].sections[0].streams[0].flow = rtp;
  report.tags[0].sections[0].streams[1].flow = rtcp;
  const auto lines = logged([&] {
    log_end("call", "media-timeout", false, report);
    log_end("call", "deleted", true, report);
  });
  ASSERT_EQ(lines.size(), 2U);
  for (const auto& line : lines) {
    EXPECT_EQ(line["packets"], "A 302, B 0");
    EXPECT_EQ(line["lost"], "A 2, B 0");
  }
  EXPECT_EQ(lines[0]["level"], "warning");
  EXPECT_EQ(lines[0]["silent-seconds"], "A 61, B never");
  EXPECT_FALSE(lines[1].contains("silent-seconds"));
}

TEST_F(CallLogTest, RefusalDuringDrainNamesTheDrain) {
  const auto lines = logged([&] {
    calls->drain();
    EXPECT_EQ(reason(offer(audio(kA, 4000))), "Parallel session limit reached");
  });
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1]["event"], "load-limit");
  EXPECT_EQ(lines[1]["reason"], "draining");
}

}  // namespace
}  // namespace millrace

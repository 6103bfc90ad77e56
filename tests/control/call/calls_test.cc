// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/calls.h"

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "control/call/call_schedule.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr const char* kNoMatch = "Call-ID not found or tags didn't match";

class CallTableTest : public CallTest {
 protected:
  [[nodiscard]] Request offer_of(std::string call_id) {
    Request result = offer(audio(kA, 4000));
    result.call_id = keep(std::move(call_id));
    return result;
  }
  [[nodiscard]] static Request remove(std::optional<std::chrono::seconds> delay) {
    Request result = request(Command::remove);
    result.removal.delay = delay;
    return result;
  }
  [[nodiscard]] std::string warning(const Request& asked) {
    const Reply reply = handle(asked);
    const auto* deleted = std::get_if<reply::Deleted>(&reply);
    EXPECT_NE(deleted, nullptr);
    return deleted != nullptr ? deleted->warning : "";
  }
  // Runs the call without media for `time`, checking once a second; returns whether it ended.
  [[nodiscard]] bool over_after(std::chrono::seconds time) {
    for (; time > 0s; time -= 1s) expire_after(1s);
    return statistics().sessions == 0;
  }
};

TEST_F(CallTableTest, MissingFieldsAreNamed) {
  Request bare = offer("");
  EXPECT_EQ(reason(bare), "No SDP body in message");
  bare = offer(audio(kA, 4000));
  bare.call_id = "";
  EXPECT_EQ(reason(bare), "No call-id in message");
  bare = offer(audio(kA, 4000));
  bare.from_tag = "";
  EXPECT_EQ(reason(bare), "No from-tag in message");
  bare = answer(audio(kB, 5000));
  bare.to_tag = "";
  EXPECT_EQ(reason(bare), "No to-tag in message");
  EXPECT_EQ(reason(answer(audio(kB, 5000))), "Unknown call-id");
  EXPECT_EQ(reason(request(Command::query)), "Unknown call-id");
  EXPECT_TRUE(std::holds_alternative<reply::Pong>(handle(request(Command::ping))));
  EXPECT_EQ(statistics().errors, 6U);
  EXPECT_EQ(statistics().pings, 1U);
}

TEST_F(CallTableTest, LimitRefusesNewCallsOnly) {
  config.limits.calls = 1;
  establish();
  Request other = offer(audio(kA, 4000));
  other.call_id = "other";
  EXPECT_EQ(reason(other), "Parallel session limit reached");
  other.supports_load_limit = true;
  const Reply reply = handle(other);
  ASSERT_TRUE(std::holds_alternative<reply::LoadLimit>(reply));
  EXPECT_EQ(std::get<reply::LoadLimit>(reply).message, "Parallel session limit reached");
  EXPECT_EQ(print(reoffer(audio(kA, 4000))).local(), to_b);
  EXPECT_EQ(statistics().sessions_rejected, 2U);
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(warning(remove(0s)), "");
  std::ignore = print(other);
}

TEST_F(CallTableTest, DrainRefusesNewCallsOnly) {
  establish();
  calls->drain();
  EXPECT_EQ(print(reoffer(audio(kA, 4000))).local(), to_b);
  Request other = offer(audio(kA, 4000));
  other.call_id = "other";
  EXPECT_EQ(reason(other), "Parallel session limit reached");
  EXPECT_TRUE(std::holds_alternative<reply::Pong>(handle(request(Command::ping))));
}

TEST_F(CallTableTest, ExhaustedPoolLeaksNothing) {
  config.interfaces[0].port_max = UdpPort(30009);  // five pairs
  config.timeouts.quarantine = 0s;
  restart();
  establish("one");
  establish("two");
  EXPECT_EQ(statistics().ports_used, 8U);
  const Request third = offer(audio(kA, 4000));
  EXPECT_EQ(reason(third), "Ran out of ports");
  EXPECT_EQ(statistics().sessions, 2U);
  EXPECT_EQ(statistics().sessions_total, 2U);
  EXPECT_EQ(statistics().sessions_rejected, 1U);
  EXPECT_EQ(statistics().ports_used, 8U);
  // A known call keeps its old state.
  Request more = reoffer(audio(kA, 4100) + media("video", 4102));
  more.call_id = "two";
  EXPECT_EQ(reason(more), "Ran out of ports");
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000));
  Request gone = remove(0s);
  gone.call_id = "one";
  EXPECT_EQ(warning(gone), "");
  std::ignore = print(third);
  EXPECT_EQ(statistics().ports_used, 8U);
}

TEST_F(CallTableTest, DeleteReportsTheCallAndFreesItsPorts) {
  establish();
  const Reply reply = handle(remove(0s));
  const auto& deleted = std::get<reply::Deleted>(reply);
  ASSERT_TRUE(deleted.call);
  EXPECT_EQ(deleted.call->tags.size(), 2U);
  EXPECT_EQ(deleted.warning, "");
  EXPECT_FALSE(flow(to_a).active);
  EXPECT_EQ(statistics().ports_used, 0U);
  EXPECT_EQ(statistics().deleted, 1U);
  EXPECT_EQ(warning(remove(0s)), kNoMatch);
  Request fatal = remove(0s);
  fatal.removal.fatal = true;
  EXPECT_EQ(reason(fatal), kNoMatch);
}

// All ages are differences of the monotonic clock, here the one that the test moves.
TEST_F(CallTableTest, DurationsFollowTheMonotonicClock) {
  establish();
  now += 9s;
  const CallReport report = std::get<reply::Query>(handle(request(Command::query))).call;
  ASSERT_TRUE(report.answered);
  EXPECT_EQ(report.reported - report.created, 9s);
  EXPECT_EQ(report.reported - *report.answered, 9s);
  EXPECT_EQ(report.reported - report.last_signal, 9s);
  EXPECT_EQ(report.reported - report.tags.at(1).created, 9s);
  EXPECT_EQ(report.reported - report.tags.at(1).sections.at(0).created, 9s);
}

TEST_F(CallTableTest, RepliesToDeletesCarryTheWarningsOfTheRequest) {
  establish();
  Request degraded = remove(0s);
  degraded.unsupported = "delete-delay: ignored";
  EXPECT_EQ(warning(degraded), "delete-delay: ignored");
  EXPECT_EQ(warning(degraded), std::string(kNoMatch) + "; delete-delay: ignored");
}

TEST_F(CallTableTest, DeleteMatchesTags) {
  establish();
  Request wrong = remove(0s);
  wrong.from_tag = "X";
  EXPECT_EQ(warning(wrong), kNoMatch);
  wrong.from_tag = "A";
  wrong.to_tag = "X";
  wrong.removal.match_to_tag = true;
  EXPECT_EQ(warning(wrong), kNoMatch);
  EXPECT_EQ(statistics().sessions, 1U);
  wrong.removal.match_to_tag = false;  // then the to-tag does not count
  wrong.removal.fast = true;
  const Reply reply = handle(wrong);
  EXPECT_FALSE(std::get<reply::Deleted>(reply).call);
  EXPECT_EQ(statistics().sessions, 0U);
  establish();
  Request bare = remove(0s);
  bare.from_tag = "";
  EXPECT_EQ(warning(bare), "");
  establish();
  bare.from_tag = "B";  // either party hangs up
  EXPECT_EQ(warning(bare), "");
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallTableTest, DelayedDeleteLetsMediaFlowUntilThen) {
  establish();
  EXPECT_EQ(warning(remove(std::nullopt)), "");  // the configured 30 s
  EXPECT_FALSE(over_after(15s));
  EXPECT_EQ(warning(remove(std::nullopt)), "");  // once more does not prolong it
  EXPECT_FALSE(over_after(14s));
  EXPECT_TRUE(flow(to_a).active);
  EXPECT_TRUE(over_after(1s));
  EXPECT_FALSE(flow(to_a).active);
  EXPECT_EQ(statistics().deleted, 1U);
}

TEST_F(CallTableTest, NewSignallingCancelsADelayedDelete) {
  establish();
  EXPECT_EQ(warning(remove(5s)), "");
  std::ignore = print(reoffer(audio(kA, 4000)));
  EXPECT_FALSE(over_after(20s));
}

TEST_F(CallTableTest, ListHonoursItsLimit) {
  for (const char* id : {"one", "two", "three"}) establish(id);
  Request list = request(Command::list);
  const auto ids = [&] {
    auto found = std::get<reply::List>(handle(list)).call_ids;
    std::ranges::sort(found);
    return found;
  };
  EXPECT_EQ(ids(), (std::vector<std::string>{"one", "three", "two"}));
  list.list_limit = 2;
  EXPECT_EQ(ids().size(), 2U);
  list.list_limit = 0;
  EXPECT_EQ(ids().size(), 0U);
}

// More calls than the schedule hands out at a time, each of them once.
TEST_F(CallTableTest, ListVisitsManyPages) {
  constexpr std::size_t kCount = 2 * CallSchedule::kPage + 1;
  std::set<std::string> made;
  for (std::size_t i = 0; i < kCount; ++i) {
    const auto id = made.insert("call-" + std::to_string(i)).first;
    std::ignore = print(offer_of(*id));
  }
  Request list = request(Command::list);
  list.list_limit = UINT32_MAX;
  const auto ids = std::get<reply::List>(handle(list)).call_ids;
  EXPECT_EQ(ids.size(), kCount);
  const std::set<std::string> listed(ids.begin(), ids.end());
  EXPECT_EQ(listed.size(), ids.size());
  EXPECT_EQ(listed, made);
  EXPECT_EQ(calls->summary(now).streams.at("audio"), made.size());
}

// Random operations on a few calls: SDP with one to three sections, live or rejected, valid and
// invalid addresses, branches, both directions, deletes with and without delay, passing time.
class Churn {
 public:
  Churn(Calls& calls, unsigned seed, Calls::Clock::time_point start)
      : calls_(calls), random_(seed), now_(start) {}

  void step() {
    static constexpr std::array kCallIds = {"one", "two", "three", "four", "five", "six"};
    static constexpr std::array kTags = {"A", "B", "C", "D"};
    static constexpr std::array kBranches = {"", "", "b1", "b2"};
    Request request;
    request.call_id = kCallIds[dice(kCallIds.size())];
    request.from_tag = kTags[dice(10) < 7 ? 0 : dice(kTags.size())];
    request.to_tag = dice(3) == 0 ? "" : kTags[dice(10) < 7 ? 1 : dice(kTags.size())];
    request.via_branch = kBranches[dice(kBranches.size())];
    request.placement.to_interface = dice(8) == 0 ? "edge" : "";
    const std::string body = sdp();
    request.sdp = body;
    const std::size_t roll = dice(100);
    request.command = roll < 45   ? Command::offer
                      : roll < 85 ? Command::answer
                      : roll < 95 ? Command::remove
                                  : Command::query;
    request.removal.match_to_tag = dice(2) == 0;
    request.new_branch = dice(4) == 0;
    request.sip.provisional = dice(8) == 0;
    request.sip.code = dice(6) == 0 ? 200 : 0;
    if (dice(2) == 0) request.removal.delay = std::chrono::seconds(dice(3));
    std::ignore = calls_.handle(request, now_);
    now_ += std::chrono::milliseconds(dice(500));
    if (dice(20) == 0) std::ignore = calls_.expire(now_);
  }
  [[nodiscard]] Calls::Clock::time_point now() const { return now_; }

 private:
  [[nodiscard]] std::size_t dice(std::size_t sides) { return random_() % sides; }
  [[nodiscard]] std::string sdp() {
    const std::string host = "198.18.0." + std::to_string(100 + dice(3));
    std::string body = session(dice(12) == 0 ? "0.0.0.0" : dice(25) == 0 ? "198.18.0.10" : host);
    for (std::size_t left = 1 + dice(3); left > 0; --left) {
      const int port = dice(6) == 0 ? 0 : static_cast<int>(4000 + 2 * (dice(50)));
      body += media("audio", port, dice(2) == 0 ? "a=rtcp-mux\r\n" : "");
    }
    return dice(50) == 0 ? body.substr(0, body.size() / 2) : body;
  }

  Calls& calls_;
  std::mt19937 random_;
  Calls::Clock::time_point now_;
};

TEST_F(CallTableTest, PortsReturnAfterAnyHistory) {
  config.interfaces[0].port_max = UdpPort(30099);  // small enough to run out at times
  config.timeouts.quarantine = 1s;
  restart();
  Churn churn(*calls, 1, now);
  std::uint64_t most = 0;
  for (int i = 0; i < 10'000; ++i) {
    churn.step();
    const auto s = calls->statistics(churn.now());
    most = std::max(most, s.ports_used);
    ASSERT_LE(s.sessions, 6U);
    ASSERT_TRUE(s.sessions > 0 || s.ports_used == 0) << i;
  }
  const auto busy = calls->statistics(churn.now());
  EXPECT_GT(most, 80U);
  EXPECT_GT(busy.sessions_total, 100U);
  EXPECT_GT(busy.sessions_rejected, 0U);
  EXPECT_GT(busy.errors, 0U);
  EXPECT_FALSE(calls->expire(churn.now() + 24h));
  EXPECT_EQ(statistics().sessions, 0U);
  EXPECT_EQ(statistics().ports_used, 0U);
  for (int port = 30000; port < 30100; ++port) {
    EXPECT_FALSE(flow({MediaAddressId{0}, UdpPort(static_cast<std::uint16_t>(port))}).active);
  }
}

TEST_F(CallTableTest, FourThreadsOnTheSameCalls) {
  config.interfaces[0].port_max = UdpPort(30199);
  config.timeouts.quarantine = 0s;
  config.limits.calls = 5;
  restart();
  {
    std::vector<std::jthread> threads;
    for (unsigned seed = 0; seed < 4; ++seed) {
      threads.emplace_back([this, seed] {
        Churn churn(*calls, seed, now);
        for (int i = 0; i < 3000; ++i) churn.step();
      });
    }
  }
  EXPECT_LE(statistics().sessions, 5U);
  EXPECT_FALSE(calls->expire(now + 24h));
  EXPECT_EQ(statistics().sessions, 0U);
  EXPECT_EQ(statistics().ports_used, 0U);
}

}  // namespace
}  // namespace millrace

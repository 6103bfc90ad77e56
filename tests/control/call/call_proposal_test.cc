// SPDX-License-Identifier: BSD-3-Clause
// An offer is a proposal: what the last answered exchange put in force stays until the answer. A
// refusal (488) is never reported to the relay.

#include <vector>

#include <gtest/gtest.h>

#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

constexpr const char* kC = "198.18.0.201";

class CallProposal : public CallTest {
 protected:
  void expect_media(int port_of_a, int port_of_b) {
    EXPECT_EQ(flow(to_b).destination, endpoint(kA, port_of_a));
    EXPECT_EQ(rtcp_flow(to_b).destination, endpoint(kA, port_of_a + 1));
    EXPECT_EQ(flow(to_a).destination, endpoint(kB, port_of_b));
    EXPECT_EQ(rtcp_flow(to_a).destination, endpoint(kB, port_of_b + 1));
  }
  // One stream per m= line from `first` on, for protocols without SDP.
  [[nodiscard]] static std::vector<NamedMedia> streams(const char* address,
                                                       std::vector<std::uint16_t> ports,
                                                       unsigned first = 1) {
    std::vector<NamedMedia> result;
    for (const std::uint16_t port : ports) {
      NamedMedia& media = result.emplace_back();
      media.index = first++;
      media.endpoint = {*IpAddress::parse(address), UdpPort(port)};
    }
    return result;
  }
  [[nodiscard]] static Request named(Command command, std::vector<NamedMedia> sections,
                                     std::string_view to = "B") {
    Request result = request(command);
    result.to_tag = to;
    result.sections = std::move(sections);
    return result;
  }
};

TEST_F(CallProposal, RefusedOfferLeavesMediaInForce) {
  establish();
  const std::string t38 = "m=image 4000 udptl t38\r\n", elsewhere = "m=image 4300 udptl t38\r\n";
  for (const std::string& refused :
       {audio(kA, 4100), audio(kC, 4000), audio("0.0.0.0", 4000), audio(kA, 4000, "a=inactive\r\n"),
        session(kA) + t38, session(kA) + elsewhere, audio(kA, 0)}) {
    std::ignore = print(reoffer(refused));
    expect_media(4000, 5000);
    EXPECT_EQ(statistics().ports_used, 4U) << refused;
  }
  std::ignore = print(back(Command::offer, audio(kB, 5100)));
  expect_media(4000, 5000);
  // The next one is accepted.
  EXPECT_EQ(print(reoffer(audio(kA, 4200))).local(), to_b);
  expect_media(4000, 5000);
  EXPECT_EQ(print(answer(audio(kB, 5200))).local(), to_a);
  expect_media(4200, 5200);
}

TEST_F(CallProposal, NextOfferReplacesARefusedOne) {
  establish();
  std::ignore = print(reoffer(audio(kA, 4100)));
  std::ignore = print(reoffer(audio(kA, 4000)));
  std::ignore = print(answer(audio(kB, 5000)));
  expect_media(4000, 5000);
  // Also an offer of the other party.
  std::ignore = print(reoffer(audio(kA, 4100)));
  std::ignore = print(back(Command::offer, audio(kB, 5100)));
  std::ignore = print(back(Command::answer, audio(kA, 4000)));
  expect_media(4000, 5100);
}

TEST_F(CallProposal, LinesAreCountedAgainstTheDescriptionInForce) {
  establish();
  const Printed more = print(reoffer(audio(kA, 4000) + media("video", 4002)));
  EXPECT_EQ(statistics().ports_used, 8U);
  EXPECT_EQ(flow(more.local(1)).destination, endpoint(kA, 4002)) << "early media";
  EXPECT_EQ(print(reoffer(audio(kA, 4000))).local(), to_b);
  EXPECT_EQ(statistics().ports_used, 4U) << "the ports of the refused video";
  EXPECT_FALSE(flow(more.local(1)).active);
  std::ignore = print(reoffer(audio(kA, 4000) + media("video", 4002)));
  EXPECT_EQ(print(back(Command::offer, audio(kB, 5000))).local(), to_a);
  EXPECT_EQ(statistics().ports_used, 4U);
  std::ignore = print(back(Command::answer, audio(kA, 4000)));
  expect_media(4000, 5000);
  // Accepted, they are in force.
  std::ignore = print(reoffer(audio(kA, 4000) + media("video", 4002)));
  std::ignore = print(answer(audio(kB, 5000) + media("video", 5002)));
  EXPECT_EQ(reason(reoffer(audio(kA, 4000))).find("The offer has 1 m= lines where there were 2"),
            0U);
}

TEST_F(CallProposal, AnswerHasTheLinesOfTheOfferThatWaits) {
  establish();
  std::ignore = print(reoffer(audio(kA, 4000) + media("video", 4002)));
  std::ignore = print(reoffer(audio(kA, 4000)));
  EXPECT_EQ(reason(answer(audio(kB, 5000) + media("video", 5002))),
            "The answer has 2 m= lines, the offer has 1 (RFC 3264 section 6)");
}

TEST_F(CallProposal, RefusedRevivalOfRemovedMedia) {
  const std::string both = audio(kA, 4000) + media("video", 4002);
  const std::string one = audio(kA, 4000) + media("video", 0);
  to_b = print(offer(both)).local();
  to_a = print(answer(audio(kB, 5000) + media("video", 0))).local();
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_NE(print(reoffer(both)).port(1), 0U);
  EXPECT_EQ(statistics().ports_used, 8U);
  EXPECT_EQ(print(reoffer(one)).port(1), 0U);
  EXPECT_EQ(statistics().ports_used, 4U);
  expect_media(4000, 5000);
}

TEST_F(CallProposal, RefusedRemovalOfMedia) {
  const std::string both = audio(kA, 4000) + media("video", 4002);
  const LocalPort video = print(offer(both)).local(1);
  std::ignore = print(answer(audio(kB, 5000) + media("video", 5002)));
  EXPECT_EQ(print(reoffer(audio(kA, 4000) + media("video", 0))).port(1), 0U);
  EXPECT_EQ(print(reoffer(both)).local(1), video) << "the same ports as before";
  EXPECT_EQ(flow(video).destination, endpoint(kA, 4002));
  EXPECT_EQ(statistics().ports_used, 8U);
}

// An m= line that becomes another media: until the answer nothing changes.
TEST_F(CallProposal, RetypedLineMovesWithTheAnswer) {
  const Printed offered = print(offer(audio(kA, 4000) + media("video", 4002)));
  const Printed answered = print(answer(audio(kB, 5000) + media("video", 5002)));
  std::ignore = print(reoffer(audio(kA, 4000) + media("audio", 4004)));
  EXPECT_EQ(flow(offered.local(1)).destination, endpoint(kA, 4002));
  std::ignore = print(answer(audio(kB, 5000) + media("audio", 5004)));
  EXPECT_EQ(flow(offered.local(1)).destination, endpoint(kA, 4004));
  EXPECT_EQ(flow(answered.local(1)).destination, endpoint(kB, 5004));
}

TEST_F(CallProposal, FailedOfferKeepsTheOneThatWaits) {
  establish();
  std::ignore = print(reoffer(audio(kA, 4100) + media("video", 4102)));
  EXPECT_NE(reason(reoffer(audio("127.0.0.1", 4000))), "");
  EXPECT_NE(reason(answer(audio("127.0.0.1", 5000))), "");
  EXPECT_EQ(statistics().ports_used, 8U);
  expect_media(4000, 5000);
  std::ignore = print(answer(audio(kB, 5000) + media("video", 5002)));
  expect_media(4100, 5000);
}

TEST_F(CallProposal, SettingsOfAnOfferWaitForTheAnswerToo) {
  establish();
  Request waiting = reoffer(audio(kA, 4000));
  waiting.latching.nat_wait = true;
  std::ignore = print(waiting);
  expect_media(4000, 5000);
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_FALSE(flow(to_b).destination);
}

// A's offer on the second branch is answered while its re-offer on the first one waits.
TEST_F(CallProposal, AnswerOfAnotherBranchSettlesNothing) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  const LocalPort one = print(first).local(), two = print(second).local();
  Request of_b = answer(audio(kB, 5000)), of_c = answer(audio(kC, 6000));
  of_b.via_branch = "b1";
  of_c.via_branch = "b2";
  of_c.to_tag = "C";
  std::ignore = print(of_b);
  std::ignore = print(reoffer(audio(kA, 4100)));
  EXPECT_EQ(flow(one).destination, endpoint(kA, 4000));
  std::ignore = print(of_c);
  EXPECT_EQ(flow(two).destination, endpoint(kA, 4000));
  std::ignore = print(of_b);
  EXPECT_EQ(flow(one).destination, endpoint(kA, 4100));
}

TEST_F(CallProposal, EndedBranchTakesTheOfferToItAlong) {
  establish();
  Request more = offer(audio(kA, 4000) + media("video", 4002));
  more.via_branch = "b2";
  std::ignore = print(more);
  EXPECT_EQ(statistics().ports_used, 10U) << "of A's video, of C's audio and video";
  Request end = request(Command::remove);
  end.via_branch = "b2";
  end.removal.delay = std::chrono::seconds(0);
  EXPECT_EQ(std::get<reply::Deleted>(handle(end)).warning, "");
  EXPECT_EQ(statistics().ports_used, 4U);
  expect_media(4000, 5000);
}

// rtpproxy offers and answers one stream at a time.
TEST_F(CallProposal, StreamsAreProposedAndAnsweredOneByOne) {
  to_b = local(relay_endpoints(named(Command::offer, streams(kA, {4000}), "")).at(0));
  const LocalPort video =
      local(relay_endpoints(named(Command::offer, streams(kA, {4002}, 2), "")).at(0));
  to_a = local(relay_endpoints(named(Command::answer, streams(kB, {5000}))).at(0));
  std::ignore = relay_endpoints(named(Command::answer, streams(kB, {5002}, 2)));
  expect_media(4000, 5000);
  EXPECT_EQ(flow(video).destination, endpoint(kA, 4002));
  // Refused.
  std::ignore = relay_endpoints(named(Command::offer, streams(kA, {4100})));
  std::ignore = relay_endpoints(named(Command::offer, streams(kA, {4102}, 2)));
  expect_media(4000, 5000);
  // The next one moves the audio only.
  std::ignore = relay_endpoints(named(Command::offer, streams(kA, {4200})));
  std::ignore = relay_endpoints(named(Command::answer, streams(kB, {5200})));
  expect_media(4200, 5200);
  EXPECT_EQ(flow(video).destination, endpoint(kA, 4002));
  EXPECT_EQ(statistics().ports_used, 8U);
  // Both are answered, each by its own answer.
  std::ignore = relay_endpoints(named(Command::offer, streams(kA, {4300})));
  std::ignore = relay_endpoints(named(Command::offer, streams(kA, {4302}, 2)));
  std::ignore = relay_endpoints(named(Command::answer, streams(kB, {5302}, 2)));
  expect_media(4200, 5200);
  EXPECT_EQ(flow(video).destination, endpoint(kA, 4302));
  std::ignore = relay_endpoints(named(Command::answer, streams(kB, {5300})));
  expect_media(4300, 5300);
}

TEST_F(CallProposal, ReportShowsWhatIsInForce) {
  establish();
  std::ignore = print(reoffer(audio(kA, 4100) + media("video", 4102)));
  const Reply reply = handle(request(Command::query));
  const TagReport& a = std::get<reply::Query>(reply).call.tags.at(0);
  EXPECT_EQ(a.sections.at(0).streams.at(0).advertised, endpoint(kA, 4000));
  ASSERT_EQ(a.sections.size(), 2U);
  EXPECT_EQ(a.sections.at(1).type, "video");
  EXPECT_EQ(a.sections.at(1).streams.at(0).advertised, endpoint(kA, 4102));
}

}  // namespace
}  // namespace millrace

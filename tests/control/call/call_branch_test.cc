// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "control/call/call.h"
#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr const char* kC = "198.18.0.201";

// A has called, and the proxy made one offer for the phones of B and C: they have the same port.
class CallBranchTest : public CallTest {
 protected:
  void SetUp() override {
    config.timeouts.delete_delay = 0s;
    CallTest::SetUp();
  }

  // C's answer, which makes it a separate party.
  [[nodiscard]] Request answer_of_c(int port = 6000) {
    Request result = answer(audio(kC, port));
    result.to_tag = "C";
    result.new_branch = true;
    return result;
  }
  // B has answered, then C.
  void fork() {
    establish();
    EXPECT_EQ(print(answer_of_c()).local(), to_a);
  }
  [[nodiscard]] Request remove_party(std::string_view tag) {
    Request result = request(Command::remove);
    result.to_tag = tag;
    result.removal.match_to_tag = true;
    return result;
  }
  void remove(std::string_view tag) {
    EXPECT_EQ(std::get<reply::Deleted>(handle(remove_party(tag))).warning, "");
  }
  // The party that has the media: A's port sends to `callee`, the phones' port to A.
  void expect_media(std::optional<Endpoint> callee) {
    EXPECT_EQ(flow(to_a).destination, callee);
    EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000));
    EXPECT_EQ(rtcp_flow(to_b).destination, endpoint(kA, 4001));
  }
  [[nodiscard]] std::vector<TagReport> tags() {
    return std::get<reply::Query>(handle(request(Command::query))).call.tags;
  }
  [[nodiscard]] std::string names() {
    std::string result;
    for (const TagReport& tag : tags()) result += tag.tag + ">" + tag.peer_tag + " ";
    return result;
  }
};

TEST_F(CallBranchTest, NewBranchIsASeparatePartyAndTakesTheMedia) {
  fork();
  expect_media(endpoint(kC, 6000));
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(names(), "A>C B> C>A ");
  const auto all = tags();
  EXPECT_EQ(all.at(1).sections.at(0).hints, std::vector{*IpAddress::parse(kB)});
  EXPECT_EQ(all.at(2).sections.at(0).hints, std::vector{*IpAddress::parse(kC)});
  const StreamReport &b = all.at(1).sections.at(0).streams.at(0),
                     &c = all.at(2).sections.at(0).streams.at(0);
  EXPECT_EQ(b.local, to_b);
  EXPECT_EQ(c.local, to_b);
  EXPECT_FALSE(b.flow.active);
  EXPECT_TRUE(c.flow.active);
}

TEST_F(CallBranchTest, NewTagWithoutTheFlagRenamesTheAnsweredParty) {
  establish();
  Request other = answer_of_c();
  other.new_branch = false;
  std::ignore = print(other);
  expect_media(endpoint(kC, 6000));
  EXPECT_EQ(names(), "A>C C>A ");
}

TEST_F(CallBranchTest, NewTagAfterAFinalAnswerIsANewPartyWithoutTheFlag) {
  Request first = answer(audio(kB, 5000)), other = answer_of_c();
  other.new_branch = false;
  to_b = print(offer(audio(kA, 4000))).local();
  first.sip.code = 183;
  to_a = print(first).local();
  Request renamed = first;
  renamed.to_tag = "B2";
  renamed.sip.code = 200;
  std::ignore = print(renamed);
  EXPECT_EQ(names(), "A>B2 B2>A ") << "no final answer yet";
  other.sip.code = 183;
  std::ignore = print(other);
  EXPECT_EQ(names(), "A>B2 B2>A ") << "it comes late and takes nothing";
  expect_media(endpoint(kB, 5000));
  other.sip.code = 200;
  std::ignore = print(other);
  EXPECT_EQ(names(), "A>C B2> C>A ");
  expect_media(endpoint(kC, 6000));
}

TEST_F(CallBranchTest, LateProvisionalAnswerAddsNoParty) {
  Request first = answer(audio(kB, 5000)), late = answer_of_c();
  to_b = print(offer(audio(kA, 4000))).local();
  first.sip.code = 200;
  to_a = print(first).local();
  late.sip.provisional = true;
  EXPECT_EQ(print(late).local(), to_a) << "its SDP is rewritten all the same";
  expect_media(endpoint(kB, 5000));
  EXPECT_EQ(names(), "A>B B>A ");
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallBranchTest, FirstAnswerReplacesTheUnansweredParty) {
  to_b = print(offer(audio(kA, 4000))).local();
  to_a = print(answer_of_c()).local();
  EXPECT_EQ(names(), "A>C C>A ");
  expect_media(endpoint(kC, 6000));
}

TEST_F(CallBranchTest, LastAnswerTakesTheMediaOnTheSharedPorts) {
  fork();
  EXPECT_EQ(print(answer(audio(kB, 5000))).local(), to_a);
  expect_media(endpoint(kB, 5000));
  EXPECT_EQ(names(), "A>B B>A C> ");
  std::ignore = print(answer_of_c(6002));
  expect_media(endpoint(kC, 6002));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallBranchTest, EitherBranchMayOfferAndAnswer) {
  fork();
  // To B, which has no media: it gets the same port, and its answer takes the media.
  Request again = offer(audio(kA, 4000));
  again.to_tag = "B";
  EXPECT_EQ(print(again).local(), to_b);
  expect_media(endpoint(kC, 6000));
  std::ignore = print(answer(audio(kB, 5002)));
  expect_media(endpoint(kB, 5002));
  // From C, which has no media now.
  Request of_c = back(Command::offer, audio(kC, 6004));
  of_c.from_tag = "C";
  EXPECT_EQ(print(of_c).local(), to_a);
  expect_media(endpoint(kB, 5002));
  Request reply = back(Command::answer, audio(kA, 4000));
  reply.from_tag = "C";
  EXPECT_EQ(print(reply).local(), to_b);
  expect_media(endpoint(kC, 6004));
  EXPECT_EQ(statistics().ports_used, 4U);
  // A repeated first INVITE does not move the media.
  EXPECT_EQ(print(offer(audio(kA, 4000))).local(), to_b);
  expect_media(endpoint(kC, 6004));
}

TEST_F(CallBranchTest, DeleteOfABranchReturnsTheMediaToTheOther) {
  fork();
  remove("C");
  expect_media(endpoint(kB, 5000));
  EXPECT_EQ(names(), "A>B B>A ");
  EXPECT_EQ(statistics().ports_used, 4U);
  remove("B");
  EXPECT_EQ(statistics().sessions, 0U);
  EXPECT_EQ(statistics().ports_used, 0U);
}

TEST_F(CallBranchTest, DeleteOfABranchWithoutMediaKeepsTheMedia) {
  fork();
  remove("B");
  expect_media(endpoint(kC, 6000));
  EXPECT_EQ(names(), "A>C C>A ");
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(std::get<reply::Deleted>(handle(remove_party("B"))).warning,
            "Call-ID not found or tags didn't match");
}

TEST_F(CallBranchTest, DeletedCallReturnsItsPortsOnce) {
  fork();
  Request third = answer_of_c(7000);
  third.to_tag = "D";
  std::ignore = print(third);
  EXPECT_EQ(names(), "A>D B> C> D>A ");
  std::ignore = handle(request(Command::remove));
  EXPECT_EQ(statistics().sessions, 0U);
  EXPECT_EQ(statistics().ports_used, 0U);
  EXPECT_FALSE(flow(to_b).active);
}

TEST_F(CallBranchTest, SectionRefusedByOneBranchStaysForTheOthers) {
  const std::string both = audio(kA, 4000) + media("video", 4002);
  const Printed offered = print(offer(both));
  const Printed answered = print(answer(audio(kB, 5000) + media("video", 5002)));
  to_b = offered.local();
  to_a = answered.local();
  Request without = answer_of_c();
  without.sdp = keep(audio(kC, 6000) + media("video", 0));
  EXPECT_EQ(print(without).port(1), 0U);
  expect_media(endpoint(kC, 6000));
  EXPECT_FALSE(flow(offered.local(1)).active);
  EXPECT_FALSE(flow(answered.local(1)).destination);
  EXPECT_EQ(statistics().ports_used, 8U);
  // A third, which wants both.
  Request third = answer_of_c();
  third.to_tag = "D";
  third.sdp = keep(audio(kC, 7000) + media("video", 7002));
  EXPECT_EQ(print(third).local(1), answered.local(1));
  EXPECT_EQ(flow(answered.local(1)).destination, endpoint(kC, 7002));
  remove("D");  // C and B are left: C answered last
  remove("C");
  expect_media(endpoint(kB, 5000));
  EXPECT_EQ(flow(answered.local(1)).destination, endpoint(kB, 5002));
  EXPECT_EQ(flow(offered.local(1)).destination, endpoint(kA, 4002));
  // C has ended. Another party rejects it while it has the media: the port is inactive.
  EXPECT_EQ(reason(without), "Invalid dialogue association");
  without.to_tag = "E";
  std::ignore = print(without);
  EXPECT_FALSE(flow(offered.local(1)).active);
}

TEST_F(CallBranchTest, BlockOfABranchPersistsWhileAnotherHasTheMedia) {
  fork();
  Request block = request(Command::block_media);
  block.from_tag = "B";
  EXPECT_TRUE(std::holds_alternative<reply::Done>(handle(block)));
  EXPECT_TRUE(tags().at(1).sections.at(0).blocked);
  EXPECT_FALSE(tags().at(2).sections.at(0).blocked);
  expect_media(endpoint(kC, 6000));
  remove("C");
  expect_media(endpoint(kB, 5000));
  EXPECT_TRUE(tags().at(1).sections.at(0).blocked);
}

TEST_F(CallBranchTest, CandidatesOfABranchWithoutMediaApplyWhenItGetsTheMedia) {
  const std::string ice = "a=mid:0\r\na=ice-ufrag:bbbb\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n";
  to_b = print(offer(audio(kA, 4000))).local();
  to_a = print(answer(audio(kB, 5000, ice))).local();
  std::ignore = print(answer_of_c());
  Request late = answer(
      "a=ice-ufrag:bbbb\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
      "a=candidate:1 1 UDP 1 198.18.0.222 5009 typ srflx raddr 0.0.0.0 rport 9\r\n");
  late.fragment = true;
  EXPECT_TRUE(std::holds_alternative<reply::Done>(handle(late)));
  expect_media(endpoint(kC, 6000));
  const auto hints = tags().at(1).sections.at(0).hints;
  EXPECT_NE(std::ranges::find(hints, *IpAddress::parse("198.18.0.222")), hints.end());
}

TEST_F(CallBranchTest, DelayedDeleteOfABranchKeepsTheCall) {
  fork();
  now += 50s;  // no packets arrive in this test
  remove("C");
  expire_after(50s);
  EXPECT_EQ(statistics().sessions, 1U) << "B had no media before";
  expire_after(11s);
  EXPECT_EQ(statistics().sessions, 0U);
  EXPECT_EQ(statistics().timeouts, 1U);
}

TEST_F(CallBranchTest, OfferBetweenBranchesOfOneOfferIsRefused) {
  fork();
  Request odd = offer(audio(kB, 5000));
  odd.from_tag = "B";
  odd.to_tag = "C";
  EXPECT_EQ(reason(odd), "Invalid dialogue association");
  expect_media(endpoint(kC, 6000));
}

TEST_F(CallBranchTest, NewCallerTakesTheMediaOfABranchOnAnswerOnly) {
  fork();
  Request stranger = offer(audio(kC, 9000));
  stranger.from_tag = "X";
  stranger.to_tag = "B";
  EXPECT_EQ(print(stranger).local(), to_b);
  expect_media(endpoint(kC, 6000));
  stranger.command = Command::answer;
  stranger.sdp = keep(audio(kB, 5000));
  const LocalPort to_x = print(stranger).local();
  EXPECT_EQ(flow(to_b).destination, endpoint(kC, 9000));
  EXPECT_EQ(flow(to_x).destination, endpoint(kB, 5000));
  EXPECT_FALSE(flow(to_a).active) << "no party is left to send to A";
}

TEST_F(CallBranchTest, ViaBranchOverridesTheFlag) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  to_b = print(first).local();
  const LocalPort other = print(second).local();
  Request ringing = answer(audio(kB, 5000)), forked = answer_of_c(), at_b2 = answer_of_c(8000);
  ringing.via_branch = forked.via_branch = "b1";
  at_b2.via_branch = "b2";
  at_b2.to_tag = "D";
  to_a = print(ringing).local();
  std::ignore = print(forked);  // downstream of b1
  expect_media(endpoint(kC, 6000));
  std::ignore = print(at_b2);
  EXPECT_EQ(flow(to_a).destination, endpoint(kC, 8000));
  EXPECT_EQ(flow(other).destination, endpoint(kA, 4000));
  EXPECT_FALSE(flow(to_b).active);
  EXPECT_EQ(names(), "A>D B> D>A C> ");
  EXPECT_EQ(statistics().ports_used, 6U);
  Request end = request(Command::remove);
  end.via_branch = "b1";
  EXPECT_EQ(std::get<reply::Deleted>(handle(end)).warning, "");
  EXPECT_EQ(names(), "A>D D>A ");
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallBranchTest, BranchesAreLimited) {
  establish();
  std::string warning;
  std::size_t parties = 2;
  for (int i = 0; i < 100 && warning.empty(); ++i, ++parties) {
    Request another = answer_of_c();
    another.to_tag = keep("C" + std::to_string(i));
    const Reply reply = handle(another);
    warning = std::get<reply::Sdp>(reply).warning;
  }
  EXPECT_EQ(warning, "new-branch: the party has reached the limit of branches");
  EXPECT_EQ(tags().size(), CallState::kMaxDialogs + 1) << "A, and as many as may answer";
  EXPECT_EQ(parties, CallState::kMaxDialogs + 2);
  expect_media(endpoint(kC, 6000));
}

// Answers with changing to-tags and without branches come from one party.
TEST_F(CallBranchTest, TagsOfAPartyAreLimited) {
  establish();
  for (int i = 1; i < 128; ++i) {
    Request another = answer(audio(kC, 6000));
    another.to_tag = keep("C" + std::to_string(i));
    ASSERT_TRUE(std::holds_alternative<reply::Sdp>(handle(another))) << i;
  }
  Request past = answer(audio(kC, 7000));
  past.to_tag = "past";
  EXPECT_EQ(std::get<reply::Failure>(handle(past)).reason,
            "The party has 128 to-tags, the limit; end the call, or answer with one of them");
  expect_media(endpoint(kC, 6000));
  past.to_tag = "C127";
  EXPECT_TRUE(std::holds_alternative<reply::Sdp>(handle(past)));
  expect_media(endpoint(kC, 7000));
}

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/call.h"

#include <gtest/gtest.h>

#include "tests/calls_fixture.h"

namespace millrace {
namespace {

constexpr const char* kA = "198.18.0.100";
constexpr const char* kB = "198.18.0.200";

class CallTest : public CallsTest {
 protected:
  // Offer and answer of one audio each, at kA:4000 and kB:5000.
  void establish() {
    to_b = print(offer(audio(kA, 4000))).local();
    to_a = print(answer(audio(kB, 5000))).local();
  }
  [[nodiscard]] Request back(Command command, std::string body) {
    Request result = request(command);
    result.from_tag = "B";
    result.to_tag = "A";
    result.sdp = keep(std::move(body));
    return result;
  }

  LocalPort to_a, to_b;  // the ports that A and B were told to send to
};

TEST_F(CallTest, OfferAndAnswerJoinTheTwoSides) {
  const Printed offered = print(offer(audio(kA, 4000)));
  const Printed answered = print(answer(audio(kB, 5000)));
  EXPECT_EQ(offered.port() % 2, 0U);
  EXPECT_EQ(answered.port() % 2, 0U);
  EXPECT_NE(offered.port(), answered.port());
  EXPECT_EQ(offered.session.medias[0].connection, kCore);
  EXPECT_EQ(flow(answered.local()).destination, endpoint(kB, 5000));
  EXPECT_EQ(rtcp_flow(answered.local()).destination, endpoint(kB, 5001));
  EXPECT_EQ(flow(offered.local()).destination, endpoint(kA, 4000));
  EXPECT_EQ(rtcp_flow(offered.local()).destination, endpoint(kA, 4001));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, NothingIsSentToTheCalleeBeforeItsAnswer) {
  const Printed offered = print(offer(audio(kA, 4000)));
  const Reply reply = handle(request(Command::query));
  const auto& tags = std::get<reply::Query>(reply).call.tags;
  ASSERT_EQ(tags.size(), 2U);
  EXPECT_TRUE(flow(offered.local()).active);
  EXPECT_FALSE(flow(tags[0].medias.at(0).streams.at(0).local).destination);
}

TEST_F(CallTest, RepeatedOfferAndAnswerChangeNothing) {
  const std::string first = *print(offer(audio(kA, 4000))).body;
  EXPECT_EQ(*print(offer(audio(kA, 4000))).body, first);
  const std::string second = *print(answer(audio(kB, 5000))).body;  // 183
  EXPECT_EQ(*print(answer(audio(kB, 5000))).body, second);          // 200
  EXPECT_EQ(*print(offer(audio(kA, 4000))).body, first);
  EXPECT_EQ(*print(answer(audio(kB, 5000))).body, second);
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(statistics().sessions_total, 1U);
}

TEST_F(CallTest, ReofferKeepsPortsAndFollowsTheAddress) {
  establish();
  Request again = offer(audio(kA, 4100));
  again.to_tag = "B";
  EXPECT_EQ(print(again).local(), to_b);
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4100));
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
  EXPECT_EQ(print(answer(audio(kB, 5100))).local(), to_a);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5100));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, CalleeMayReoffer) {
  establish();
  EXPECT_EQ(print(back(Command::offer, audio(kB, 5200))).local(), to_a);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5200));
  EXPECT_EQ(print(back(Command::answer, audio(kA, 4200))).local(), to_b);
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4200));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, LateOfferComesFromTheCallee) {
  const Printed offered = print(back(Command::offer, audio(kB, 5000)));
  const Printed answered = print(back(Command::answer, audio(kA, 4000)));
  EXPECT_EQ(flow(offered.local()).destination, endpoint(kB, 5000));
  EXPECT_EQ(flow(answered.local()).destination, endpoint(kA, 4000));
  // A later re-INVITE of the caller finds the same dialog.
  Request again = offer(audio(kA, 4000));
  again.to_tag = "B";
  EXPECT_EQ(print(again).local(), answered.local());
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, UnansweredCalleeMayOffer) {
  const LocalPort callee = print(offer(audio(kA, 4000))).local();
  const LocalPort caller = print(back(Command::offer, audio(kB, 5000))).local();
  EXPECT_EQ(print(back(Command::answer, audio(kA, 4000))).local(), callee);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, MediaIsAddedAndRemoved) {
  establish();
  Request more = offer(audio(kA, 4000) + media("video", 4002));
  more.to_tag = "B";
  const Printed offered = print(more);
  EXPECT_EQ(offered.local(0), to_b);
  EXPECT_NE(offered.local(1), to_b);
  const Printed answered = print(answer(audio(kB, 5000) + media("video", 5002)));
  EXPECT_EQ(flow(answered.local(1)).destination, endpoint(kB, 5002));
  EXPECT_EQ(statistics().ports_used, 8U);

  Request fewer = offer(audio(kA, 4000) + media("video", 0));
  fewer.to_tag = "B";
  const Printed removed = print(fewer);
  EXPECT_EQ(removed.local(0), to_b);
  EXPECT_EQ(removed.port(1), 0U);
  EXPECT_TRUE(flow(answered.local(1)).active);  // until the answer
  EXPECT_EQ(print(answer(audio(kB, 5000) + media("video", 0))).port(1), 0U);
  EXPECT_FALSE(flow(answered.local(1)).active);
  EXPECT_FALSE(flow(offered.local(1)).active);
  EXPECT_EQ(statistics().ports_used, 4U);

  const Printed revived = print(more);
  EXPECT_NE(revived.port(1), 0U);
  EXPECT_NE(revived.port(1), offered.port(1));  // that one rests
}

TEST_F(CallTest, MediaLinesNeverBecomeFewer) {
  std::ignore = print(offer(audio(kA, 4000) + media("video", 4002)));
  std::ignore = print(answer(audio(kB, 5000) + media("video", 5002)));
  Request fewer = offer(audio(kA, 4000));
  fewer.to_tag = "B";
  EXPECT_EQ(reason(fewer),
            "The offer has 1 m= lines where there were 2; a media is removed by port 0 (RFC 3264 "
            "section 8.2)");
  EXPECT_EQ(statistics().ports_used, 8U);
}

TEST_F(CallTest, FirstOfferMayBeRetriedWithFewerMedias) {
  std::ignore = print(offer(audio(kA, 4000) + media("video", 4002)));
  EXPECT_EQ(statistics().ports_used, 8U);
  std::ignore = print(offer(audio(kA, 4000)));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, RejectedMediaGivesItsPortsBack) {
  const Printed offered = print(offer(audio(kA, 4000) + media("video", 4002)));
  const Printed answered = print(answer(audio(kB, 5000) + media("video", 0)));
  EXPECT_EQ(answered.port(1), 0U);
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_FALSE(flow(offered.local(1)).active);
  EXPECT_TRUE(flow(offered.local(0)).active);
}

TEST_F(CallTest, OfferedPortZeroTakesNoPorts) {
  EXPECT_EQ(print(offer(session(kA) + media("audio", 0) + media("video", 4002))).port(0), 0U);
  EXPECT_EQ(statistics().ports_used, 4U);
  const Printed answered = print(answer(session(kB) + media("audio", 0) + media("video", 5002)));
  EXPECT_EQ(answered.port(0), 0U);
  EXPECT_EQ(flow(answered.local(1)).destination, endpoint(kB, 5002));
}

TEST_F(CallTest, AnswerWithFewerMediasLeavesTheRestSilent) {
  const Printed offered = print(offer(audio(kA, 4000) + media("video", 4002)));
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_TRUE(flow(offered.local(0)).active);
  EXPECT_FALSE(flow(offered.local(1)).active);
}

TEST_F(CallTest, AnswerWithMoreMediasIsRefused) {
  std::ignore = print(offer(audio(kA, 4000)));
  EXPECT_EQ(reason(answer(audio(kB, 5000) + media("video", 5002))),
            "The answer has 2 m= lines, the offer has 1 (RFC 3264 section 6)");
}

TEST_F(CallTest, RtcpSharesThePortOnlyIfBothSay) {
  constexpr const char* kMux = "a=rtcp-mux\r\n";
  const LocalPort callee = print(offer(audio(kA, 4000, kMux))).local();
  EXPECT_TRUE(rtcp_flow(callee).active);  // either port, until the answer
  const LocalPort caller = print(answer(audio(kB, 5000))).local();
  EXPECT_EQ(rtcp_flow(caller).destination, endpoint(kB, 5001));
  EXPECT_EQ(rtcp_flow(callee).destination, endpoint(kA, 4001));

  const Printed muxed = print(answer(audio(kB, 5000, kMux)));
  EXPECT_FALSE(rtcp_flow(caller).active);
  EXPECT_FALSE(rtcp_flow(callee).active);
  EXPECT_EQ(muxed.body->find("a=rtcp:"), std::string::npos);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_EQ(statistics().ports_used, 4U);  // still held, a re-offer may want them
}

TEST_F(CallTest, RtcpGoesWhereItsAttributeSays) {
  std::ignore = print(offer(audio(kA, 4000, "a=rtcp:4500 IN IP4 198.18.0.101\r\n")));
  const Printed answered = print(answer(audio(kB, 5000, "a=rtcp:5500\r\n")));
  EXPECT_EQ(rtcp_flow(answered.local()).destination, endpoint(kB, 5500));
}

TEST_F(CallTest, HoldByAddressStopsDeliveryAndResumeRestoresIt) {
  establish();
  Request hold = offer(audio("0.0.0.0", 4000));
  hold.to_tag = "B";
  EXPECT_EQ(print(hold).local(), to_b);
  EXPECT_TRUE(flow(to_b).active);
  EXPECT_FALSE(flow(to_b).destination);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
  std::ignore = print(answer(audio(kB, 5000, "a=recvonly\r\n")));
  EXPECT_FALSE(flow(to_b).destination);
  Request resume = offer(audio(kA, 4000));
  resume.to_tag = "B";
  EXPECT_EQ(print(resume).local(), to_b);
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000));
}

TEST_F(CallTest, HoldByDirectionChangesNoFlow) {
  establish();
  for (const char* direction : {"a=sendonly\r\n", "a=inactive\r\n", "a=recvonly\r\n"}) {
    Request hold = offer(audio(kA, 4000, direction));
    hold.to_tag = "B";
    EXPECT_EQ(print(hold).local(), to_b);
    EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000)) << direction;
    EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000)) << direction;
  }
}

TEST_F(CallTest, BranchesHaveTheirOwnPortsAndTheLastAnswerWins) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  const LocalPort one = print(first).local(), two = print(second).local();
  EXPECT_NE(one, two);
  EXPECT_EQ(print(first).local(), one);
  EXPECT_EQ(statistics().ports_used, 6U);

  Request ringing = answer(audio(kB, 5000));
  ringing.via_branch = "b1";
  const LocalPort caller = print(ringing).local();
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  std::ignore = print(second);  // a repeated offer of the other branch takes nothing away
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));

  Request taken = answer(audio("198.18.0.201", 6000));
  taken.to_tag = "C";
  taken.via_branch = "b2";
  EXPECT_EQ(print(taken).local(), caller);
  EXPECT_EQ(flow(caller).destination, endpoint("198.18.0.201", 6000));
  EXPECT_FALSE(flow(one).active);
  EXPECT_EQ(flow(two).destination, endpoint(kA, 4000));

  std::ignore = print(ringing);  // and back, were it to answer after all
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_TRUE(flow(one).active);
  EXPECT_FALSE(flow(two).active);
}

TEST_F(CallTest, DeletedBranchLeavesTheOthers) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  const LocalPort one = print(first).local(), two = print(second).local();
  Request ringing = answer(audio(kB, 5000)), taken = answer(audio("198.18.0.201", 6000));
  ringing.via_branch = "b1";
  taken.via_branch = "b2";
  taken.to_tag = "C";
  const LocalPort caller = print(ringing).local();
  std::ignore = print(taken);
  Request gone = request(Command::remove);
  gone.via_branch = "b2";
  gone.delete_delay = std::chrono::seconds(0);
  EXPECT_TRUE(std::holds_alternative<reply::Deleted>(handle(gone)));
  EXPECT_FALSE(flow(two).active);
  EXPECT_EQ(flow(one).destination, endpoint(kA, 4000));
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  EXPECT_EQ(statistics().ports_used, 4U);
  gone.via_branch = "b1";
  std::ignore = handle(gone);
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallTest, LateCancelOfABranchEndsNoOther) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  std::ignore = print(first);
  std::ignore = print(second);
  Request taken = answer(audio(kB, 5000));
  taken.via_branch = "b1";
  const LocalPort caller = print(taken).local();
  Request cancel = request(Command::remove);
  cancel.via_branch = "b2";
  cancel.delete_delay = std::chrono::seconds(0);
  EXPECT_EQ(std::get<reply::Deleted>(handle(cancel)).warning, "");
  EXPECT_EQ(std::get<reply::Deleted>(handle(cancel)).warning,
            "Call-ID not found or tags didn't match");
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  cancel.via_branch = "of-the-bye";  // a request of its own, and so the whole call
  EXPECT_EQ(std::get<reply::Deleted>(handle(cancel)).warning, "");
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallTest, ProvisionalAnswerTakesTheMediaFromNobodyWhoAnsweredFinally) {
  Request first = offer(audio(kA, 4000)), second = first;
  first.via_branch = "b1";
  second.via_branch = "b2";
  std::ignore = print(first);
  std::ignore = print(second);
  Request taken = answer(audio(kB, 5000)), ringing = answer(audio("198.18.0.201", 6000));
  taken.via_branch = "b1";
  taken.sip_code = 200;
  ringing.via_branch = "b2";
  ringing.to_tag = "C";
  ringing.sip_code = 183;
  const LocalPort caller = print(taken).local();
  EXPECT_EQ(print(ringing).local(), caller) << "it is rewritten";
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000)) << "but takes nothing";
  ringing.sip_code = 0;
  ringing.provisional = true;
  std::ignore = print(ringing);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5000));
  taken.sip_code = 183;  // its own branch, which may well change its mind
  taken.sdp = keep(audio(kB, 5002));
  std::ignore = print(taken);
  EXPECT_EQ(flow(caller).destination, endpoint(kB, 5002));
  ringing.provisional = false;
  ringing.sip_code = 200;
  std::ignore = print(ringing);
  EXPECT_EQ(flow(caller).destination, endpoint("198.18.0.201", 6000));
}

TEST_F(CallTest, AddressFamilyChoosesTheReadersSide) {
  Request crossing = offer(audio(kA, 4000));
  crossing.address_family = Family::ipv6;
  EXPECT_EQ(reason(crossing), "No interface has an IPv6 media address");
  crossing.address_family = Family::ipv4;
  std::ignore = print(crossing);
}

TEST_F(CallTest, NatWaitSendsNothingToWhoIsNotHeard) {
  Request waiting = offer(audio(kA, 4000));
  waiting.nat_wait = true;
  const LocalPort offered = print(waiting).local();
  EXPECT_FALSE(flow(offered).destination);
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_FALSE(flow(offered).destination);
}

TEST_F(CallTest, MetadataAndLabelsAreReported) {
  Request first = offer(audio(kA, 4000)), second = answer(audio(kB, 5000));
  first.label = "caller";
  first.metadata = "tenant=7";
  second.label = "callee";
  std::ignore = print(first);
  std::ignore = print(second);
  const Reply reply = handle(request(Command::query));
  const CallReport& call = std::get<reply::Query>(reply).call;
  EXPECT_EQ(call.metadata, "tenant=7");
  ASSERT_EQ(call.tags.size(), 2U);
  EXPECT_EQ(call.tags[0].label, "caller");
  EXPECT_EQ(call.tags[1].label, "callee");
  EXPECT_EQ(call.tags[0].medias.at(0).hints, std::vector<std::string>{kA});
}

TEST_F(CallTest, RejectedMediaNeitherSendsNorReceives) {
  std::ignore = print(offer(audio(kA, 4000) + media("video", 4002)));
  std::ignore = print(answer(audio(kB, 5000) + media("video", 0)));
  const Reply reply = handle(request(Command::query));
  const TagReport& callee = std::get<reply::Query>(reply).call.tags.at(1);
  EXPECT_TRUE(callee.medias.at(0).sends);
  EXPECT_FALSE(callee.medias.at(1).live);
  EXPECT_FALSE(callee.medias.at(1).sends);
  EXPECT_FALSE(callee.medias.at(1).receives);
}

struct Restrained : CallTest {
  // Whether the media of the two parties is so, by the report.
  std::pair<bool, bool> both(bool MediaReport::* what) {
    const Reply reply = handle(request(Command::query));
    const auto& tags = std::get<reply::Query>(reply).call.tags;
    return {tags.at(0).medias.at(0).*what, tags.at(1).medias.at(0).*what};
  }
  [[nodiscard]] static Request whole(Command command) {
    Request result = request(command);
    result.from_tag = "";
    return result;
  }
  [[nodiscard]] bool done(const Request& asked) {
    return std::holds_alternative<reply::Done>(handle(asked));
  }
};

constexpr std::pair kNone{false, false}, kFirst{true, false}, kSecond{false, true},
    kBoth{true, true};

TEST_F(Restrained, WholeCallUnlessAPartyIsNamed) {
  establish();
  EXPECT_TRUE(done(whole(Command::block_media)));
  EXPECT_EQ(both(&MediaReport::blocked), kBoth);
  EXPECT_TRUE(done(whole(Command::silence_media)));
  EXPECT_TRUE(done(whole(Command::unblock_media)));
  EXPECT_EQ(both(&MediaReport::blocked), kNone);
  EXPECT_EQ(both(&MediaReport::silenced), kBoth);
  EXPECT_TRUE(done(whole(Command::unsilence_media)));
  EXPECT_EQ(both(&MediaReport::silenced), kNone);
}

TEST_F(Restrained, PartyByTagLabelOrAddress) {
  Request first = offer(audio(kA, 4000));
  first.label = "caller";
  std::ignore = print(first);
  std::ignore = print(answer(audio(kB, 5000)));
  Request block = whole(Command::block_media), unblock = whole(Command::unblock_media);
  block.from_tag = "B";
  EXPECT_TRUE(done(block));
  EXPECT_EQ(both(&MediaReport::blocked), kSecond);
  EXPECT_TRUE(done(whole(Command::unblock_media)));
  EXPECT_EQ(both(&MediaReport::blocked), kSecond) << "the call's own is lifted, not the party's";
  unblock.from_tag = "B";
  EXPECT_TRUE(done(unblock));
  EXPECT_EQ(both(&MediaReport::blocked), kNone);

  Request dtmf = whole(Command::block_dtmf);
  dtmf.label = "caller";
  EXPECT_TRUE(done(dtmf));
  EXPECT_EQ(both(&MediaReport::dtmf_blocked), kFirst);
  Request silence = whole(Command::silence_media);
  silence.address = IpAddress::parse(kB).value();
  EXPECT_TRUE(done(silence));
  EXPECT_EQ(both(&MediaReport::silenced), kSecond);
  block.all = true;
  EXPECT_TRUE(done(block));
  EXPECT_EQ(both(&MediaReport::blocked), kBoth);
}

TEST_F(Restrained, SurvivesAnotherOffer) {
  establish();
  EXPECT_TRUE(done(whole(Command::block_media)));
  Request again = offer(audio(kA, 4100));
  again.to_tag = "B";
  std::ignore = print(again);
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_EQ(both(&MediaReport::blocked), kBoth);
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4100));
}

TEST_F(Restrained, WhoCannotBeFoundIsNamed) {
  Request block = whole(Command::block_media);
  EXPECT_EQ(reason(block), "Unknown call-id");
  block.call_id = "";
  EXPECT_EQ(reason(block), "No call-id in message");
  establish();
  block = whole(Command::block_media);
  block.from_tag = "X";
  EXPECT_EQ(reason(block), "From-tag given, but no such tag exists");
  block.from_tag = "A";
  block.to_tag = "X";
  EXPECT_EQ(reason(block), "Media flow not found (to-tag not found)");
  block.label = "L";
  EXPECT_EQ(reason(block), "No monologue matching the given label");
  block.label = "";
  block.address = IpAddress::v4(203, 0, 113, 1);
  EXPECT_EQ(reason(block), "Failed to match address to any tag");
}

TEST_F(CallTest, ForkWithoutBranchesSharesPorts) {
  establish();
  Request other = answer(audio("198.18.0.201", 6000));
  other.to_tag = "C";
  EXPECT_EQ(print(other).local(), to_a);
  EXPECT_EQ(flow(to_a).destination, endpoint("198.18.0.201", 6000));
  EXPECT_EQ(statistics().ports_used, 4U);
  Request again = offer(audio(kA, 4000));
  again.to_tag = "C";
  EXPECT_EQ(print(again).local(), to_b);
}

TEST_F(CallTest, InterfacesAreChosenByName) {
  Request crossing = offer(audio(kA, 4000));
  crossing.from_interface = "core";
  crossing.to_interface = "edge";
  const Printed offered = print(crossing);
  EXPECT_EQ(offered.session.medias[0].connection, kEdge);
  const Printed answered = print(answer(audio("203.0.113.77", 5000)));
  EXPECT_EQ(answered.session.medias[0].connection, kCore);
  EXPECT_EQ(flow(offered.local()).destination, endpoint(kA, 4000));
  crossing.call_id = "other";
  crossing.to_interface = "moon";
  EXPECT_EQ(reason(crossing), "Unknown interface 'moon'; configured: 'core' 'edge'");
}

TEST_F(CallTest, PrintsAdvertisedOrGivenAddress) {
  config.interfaces[0].advertised = {IpAddress::parse("192.0.2.50").value()};
  restart();
  EXPECT_EQ(print(offer(audio(kA, 4000))).session.medias[0].connection,
            IpAddress::parse("192.0.2.50"));
  Request given = answer(audio(kB, 5000));
  given.media_address = IpAddress::parse("192.0.2.60").value();
  given.replace_origin = true;
  const Printed answered = print(given);
  EXPECT_EQ(answered.session.medias[0].connection, IpAddress::parse("192.0.2.60"));
  EXPECT_NE(answered.body->find("o=- 1 1 IN IP4 192.0.2.60\r\n"), std::string::npos);
  EXPECT_EQ(reason(offer(audio("192.0.2.50", 4000))),
            "Media address 192.0.2.50 (m= in line 6 of the SDP) is the relay's own: it must not "
            "send to itself");
}

TEST_F(CallTest, OtherTransportsPassUntouchedAndOpaqueOnesHaveNoRtcp) {
  const std::string msrp = "m=message 2855 TCP/MSRP *\r\n";
  const std::string fax = "m=image 4006 udptl t38\r\n";
  const Printed offered = print(offer(audio(kA, 4000) + msrp + fax));
  EXPECT_NE(offered.body->find(msrp), std::string::npos);
  const Printed answered =
      print(answer(audio(kB, 5000) + "m=message 2856 TCP/MSRP *\r\nm=image 5006 udptl t38\r\n"));
  EXPECT_EQ(flow(answered.local(2)).destination, endpoint(kB, 5006));
  EXPECT_FALSE(rtcp_flow(answered.local(2)).active);
  EXPECT_EQ(statistics().ports_used, 8U);
}

TEST_F(CallTest, AudioMayBecomeFaxOnTheSamePorts) {
  establish();
  Request fax = offer(session(kA) + "m=image 4000 udptl t38\r\n");
  fax.to_tag = "B";
  EXPECT_EQ(print(fax).local(), to_b);
  EXPECT_EQ(print(answer(session(kB) + "m=image 5000 udptl t38\r\n")).local(), to_a);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
  EXPECT_FALSE(rtcp_flow(to_a).active);
}

TEST_F(CallTest, PhoneBehindNatIsNotSentToBeforeItIsHeard) {
  Request natted = offer(audio("192.168.1.20", 4000));
  natted.received_from = IpAddress::parse("192.0.2.9").value();
  std::ignore = print(natted);
  const Printed answered = print(answer(audio(kB, 5000)));
  EXPECT_EQ(flow(answered.local()).destination, endpoint(kB, 5000));
  EXPECT_FALSE(flow(seen.front()).destination);
  natted.sip_source_address = true;
  std::ignore = print(natted);
  EXPECT_EQ(flow(seen.front()).destination, endpoint("192.0.2.9", 4000));
}

TEST_F(CallTest, FailedRequestChangesNothing) {
  establish();
  const auto before = statistics();
  for (const char* address : {"127.0.0.1", "169.254.169.254", "198.18.0.10", "203.0.113.10"}) {
    Request bad = offer(audio(kA, 4100) + "m=video 4102 RTP/AVP 96\r\nc=IN IP4 " +
                        std::string(address) + "\r\n");
    bad.to_tag = "B";
    EXPECT_NE(reason(bad).find(address), std::string::npos);
    bad.command = Command::answer;
    EXPECT_NE(reason(bad), "");
  }
  EXPECT_EQ(reason(offer("v=0\r\nm=audio")).find("Failed to parse SDP: line 2"), 0U);
  EXPECT_EQ(statistics().ports_used, before.ports_used);
  EXPECT_EQ(statistics().errors, before.errors + 9);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000));
}

TEST_F(CallTest, TagsThatMakeNoDialogAreRefused) {
  Request self = offer(audio(kA, 4000));
  self.to_tag = "A";
  EXPECT_EQ(reason(self), "Invalid dialogue association");
  EXPECT_EQ(statistics().sessions, 0U);
  establish();
  EXPECT_EQ(reason(self), "Invalid dialogue association");
  Request stranger = answer(audio(kB, 5000));
  stranger.from_tag = "X";
  EXPECT_EQ(reason(stranger), "Invalid dialogue association");
}

TEST_F(CallTest, ReportTellsBothSides) {
  establish();
  const Reply reply = handle(request(Command::query));
  const CallReport& call = std::get<reply::Query>(reply).call;
  EXPECT_EQ(call.call_id, "call");
  ASSERT_EQ(call.tags.size(), 2U);
  EXPECT_EQ(call.tags[0].tag, "A");
  EXPECT_EQ(call.tags[0].peer_tag, "B");
  EXPECT_EQ(call.tags[1].tag, "B");
  const MediaReport& audio_of_b = call.tags[1].medias.at(0);
  EXPECT_EQ(audio_of_b.index, 1U);
  EXPECT_EQ(audio_of_b.type, "audio");
  EXPECT_EQ(audio_of_b.protocol, "RTP/AVP");
  EXPECT_EQ(audio_of_b.codec, "PCMU/8000");
  ASSERT_EQ(audio_of_b.streams.size(), 2U);
  EXPECT_EQ(audio_of_b.streams[0].local, to_b);
  EXPECT_EQ(audio_of_b.streams[0].local_endpoint, (Endpoint{kCore, to_b.port}));
  EXPECT_EQ(audio_of_b.streams[0].advertised, endpoint(kB, 5000));
  EXPECT_TRUE(audio_of_b.streams[0].flow.active);
  EXPECT_FALSE(audio_of_b.streams[0].rtcp);
  EXPECT_TRUE(audio_of_b.streams[1].rtcp);
  EXPECT_EQ(audio_of_b.streams[1].advertised, endpoint(kB, 5001));
}

// ---- ICE ------------------------------------------------------------------------------------

// One party's ICE, with a reflexive candidate at `address`.
std::string ice(std::string_view ufrag, std::string_view address) {
  return "a=ice-ufrag:" + std::string(ufrag) + "\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n" +
         "a=candidate:1 1 UDP 1694498815 " + std::string(address) +
         " 4000 typ srflx raddr 0.0.0.0 rport 9\r\n";
}

TEST_F(CallTest, RelayIsACandidateOfBothParties) {
  const Printed offered = print(offer(audio(kA, 4000, ice("a", kA))));
  const Printed answered = print(answer(audio(kB, 5000, ice("b", kB))));
  for (const Printed* seen_by : {&offered, &answered}) {
    const std::string port = std::to_string(seen_by->port());
    EXPECT_NE(seen_by->body->find(" 1 UDP 16777215 198.18.0.10 " + port + " typ relay"),
              std::string::npos)
        << *seen_by->body;
    EXPECT_NE(seen_by->body->find("a=ice-ufrag:"), std::string::npos);
  }
  EXPECT_NE(offered.body->find(std::string(kA) + " 4000 typ srflx"), std::string::npos);
}

TEST_F(CallTest, ForceRelayShowsNoOtherCandidate) {
  Request asked = offer(audio(kA, 4000, ice("a", kA)));
  asked.ice = IceHandling::relay_only;
  const Printed offered = print(asked);
  EXPECT_EQ(offered.session.medias[0].candidates, std::vector{kCore});
}

TEST_F(CallTest, ForcedIceThatThereIsNotIsTold) {
  Request asked = offer(audio(kA, 4000));
  asked.ice = IceHandling::force;
  EXPECT_NE(std::get<reply::Sdp>(handle(asked)).warning.find("ICE=force"), std::string::npos);
  asked.sdp = keep(audio(kA, 4000, ice("a", kA)));
  EXPECT_EQ(std::get<reply::Sdp>(handle(asked)).warning, "");
}

TEST_F(CallTest, ReinviteThatConcludesIcePassesAsItIs) {
  to_b = print(offer(audio(kA, 4000, ice("a", kA)))).local();
  to_a = print(answer(audio(kB, 5000, ice("b", kB)))).local();
  const std::string end = "a=remote-candidates:1 198.18.0.200 5000\r\n";
  Request again = offer(audio(kA, 4444, ice("a", kA) + end));
  again.to_tag = "B";
  const Printed offered = print(again);
  EXPECT_EQ(*offered.body, again.sdp);
  const std::string body = audio(kB, 5555, ice("b", kB));
  EXPECT_EQ(*print(answer(body)).body, body) << "and so does its answer";
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000)) << "the flows stay";
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000));
}

// ---- what proxies ask of the SDP -------------------------------------------------------------

TEST_F(CallTest, AnswerComesOverTheProtocolThatWasOffered) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.protocol = "RTP/AVPF";
  EXPECT_EQ(print(asked).session.medias[0].protocol, "RTP/AVPF");
  const std::string body = session(kB) + "m=audio 5000 RTP/AVPF 0 8\r\n";
  EXPECT_EQ(print(answer(body)).session.medias[0].protocol, "RTP/AVP");
  Request accepting = answer(body);
  accepting.edits.protocol = "accept";
  EXPECT_EQ(print(accepting).session.medias[0].protocol, "RTP/AVPF");
}

TEST_F(CallTest, EncryptionCannotBeAskedFor) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.protocol = "RTP/SAVP";
  EXPECT_NE(reason(asked).find("neither encrypts nor decrypts"), std::string::npos);
  EXPECT_EQ(statistics().sessions, 0U);
}

TEST_F(CallTest, RefusedMuxIsNotOfferedAndTold) {
  Request asked = offer(audio(kA, 4000, "a=rtcp-mux\r\n"));
  asked.edits.separate_rtcp = asked.edits.demux_asked = true;
  sdp::AttributeEdits lines;
  lines.where = sdp::AttributeEdits::Where::everywhere;
  lines.remove = {"rtcp-mux"};
  asked.edits.lines.attributes = {lines};
  const Reply reply = handle(asked);
  const auto& told = std::get<reply::Sdp>(reply);
  EXPECT_EQ(told.body.find("rtcp-mux"), std::string::npos);
  EXPECT_NE(told.warning.find("rtcp-mux"), std::string::npos);
  const Printed answered = print(answer(audio(kB, 5000)));
  EXPECT_TRUE(rtcp_flow(answered.local()).active);
}

TEST_F(CallTest, RequiredMuxNamesOnePort) {
  Request asked = offer(audio(kA, 4000, "a=rtcp-mux\r\n"));
  asked.edits.require_mux = true;
  const Printed offered = print(asked);
  EXPECT_NE(offered.body->find("a=rtcp-mux"), std::string::npos);
  EXPECT_TRUE(offered.session.medias[0].rtcp_mux);
}

TEST_F(CallTest, StrippedCodecWasNeverOffered) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.codecs.strip = {"PCMU"};
  EXPECT_EQ(print(asked).session.medias[0].codec, "PCMA/8000");
}

TEST_F(CallTest, RemovedMediaTakesNoPorts) {
  Request asked = offer(audio(kA, 4000) + media("video", 4002));
  asked.edits.remove_medias = {"video"};
  const Printed offered = print(asked);
  EXPECT_EQ(offered.port(1), 0U);
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, LoopedSdpPassesUntouched) {
  Request asked = offer(audio(kA, 4000));
  asked.edits.lines.loop_mark = true;
  const Printed once = print(asked);
  Request again = asked;
  again.call_id = "other";
  again.sdp = keep(*once.body);
  EXPECT_EQ(*print(again).body, *once.body);
  EXPECT_EQ(statistics().sessions, 1U);
}

TEST_F(CallTest, VersionOfTheSdpFollowsWhatTheReaderSees) {
  const auto version = [&](std::string_view body) {
    Request asked = offer(std::string(body));
    asked.edits.origin.version = true;
    const Printed printed = print(asked);
    return printed.body->substr(printed.body->find("o="), 7);
  };
  EXPECT_EQ(version(audio(kA, 4000)), "o=- 1 1");
  EXPECT_EQ(version(audio(kA, 4444)), "o=- 1 1") << "the relay's port is the same";
  EXPECT_EQ(version(audio(kA, 4444, "a=sendonly\r\n")), "o=- 1 2");
}

}  // namespace
}  // namespace millrace

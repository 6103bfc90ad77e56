// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/call.h"

#include <gtest/gtest.h>

#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

TEST_F(CallTest, OfferAndAnswerJoinTheTwoSides) {
  const Printed offered = print(offer(audio(kA, 4000)));
  const Printed answered = print(answer(audio(kB, 5000)));
  EXPECT_EQ(offered.port() % 2, 0U);
  EXPECT_EQ(answered.port() % 2, 0U);
  EXPECT_NE(offered.port(), answered.port());
  EXPECT_EQ(offered.session.sections[0].connection, kCore);
  EXPECT_EQ(flow(answered.local()).destination, endpoint(kB, 5000));
  EXPECT_EQ(rtcp_flow(answered.local()).destination, endpoint(kB, 5001));
  EXPECT_EQ(flow(offered.local()).destination, endpoint(kA, 4000));
  EXPECT_EQ(rtcp_flow(offered.local()).destination, endpoint(kA, 4001));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, CalleeReceivesNothingBeforeItsAnswer) {
  const Printed offered = print(offer(audio(kA, 4000)));
  const Reply reply = handle(request(Command::query));
  const auto& tags = std::get<reply::Query>(reply).call.tags;
  ASSERT_EQ(tags.size(), 2U);
  EXPECT_TRUE(flow(offered.local()).active);
  EXPECT_FALSE(flow(tags[0].sections.at(0).streams.at(0).local).destination);
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
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000)) << "until the answer";
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
  EXPECT_EQ(print(answer(audio(kB, 5100))).local(), to_a);
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4100));
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5100));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, CalleeMayReoffer) {
  establish();
  EXPECT_EQ(print(back(Command::offer, audio(kB, 5200))).local(), to_a);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
  EXPECT_EQ(print(back(Command::answer, audio(kA, 4200))).local(), to_b);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5200));
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

TEST_F(CallTest, ReofferWithFewerSectionsIsRefused) {
  std::ignore = print(offer(audio(kA, 4000) + media("video", 4002)));
  std::ignore = print(answer(audio(kB, 5000) + media("video", 5002)));
  Request fewer = offer(audio(kA, 4000));
  fewer.to_tag = "B";
  EXPECT_EQ(
      reason(fewer),
      "The offer has 1 m= lines where there were 2; remove a media section by port 0 (RFC 3264 "
      "section 8.2)");
  EXPECT_EQ(statistics().ports_used, 8U);
}

TEST_F(CallTest, FirstOfferMayBeRetriedWithFewerSections) {
  std::ignore = print(offer(audio(kA, 4000) + media("video", 4002)));
  EXPECT_EQ(statistics().ports_used, 8U);
  std::ignore = print(offer(audio(kA, 4000)));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, RejectedSectionReturnsItsPorts) {
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

TEST_F(CallTest, AnswerWithFewerSectionsRejectsTheRest) {
  const Printed offered = print(offer(audio(kA, 4000) + media("video", 4002)));
  const Reply reply = handle(answer(audio(kB, 5000)));
  EXPECT_EQ(std::get<reply::Sdp>(reply).warning,
            "answer: it has 1 of 2 m= lines; the others are rejected (RFC 3264 section 6)");
  EXPECT_TRUE(flow(offered.local(0)).active);
  EXPECT_FALSE(flow(offered.local(1)).active);
  EXPECT_EQ(statistics().ports_used, 4U);
  // All lines are in force, so the next offer has them all.
  Request again = offer(audio(kA, 4000));
  again.to_tag = "B";
  EXPECT_NE(reason(again).find("1 m= lines where there were 2"), std::string::npos);
  again.sdp = keep(audio(kA, 4000) + media("video", 4002));
  EXPECT_NE(print(again).port(1), 0U);
}

TEST_F(CallTest, AnswerWithMoreSectionsIsRefused) {
  std::ignore = print(offer(audio(kA, 4000)));
  EXPECT_EQ(reason(answer(audio(kB, 5000) + media("video", 5002))),
            "The answer has 2 m= lines, the offer has 1 (RFC 3264 section 6)");
}

TEST_F(CallTest, RtcpSharesThePortOnlyIfBothMultiplex) {
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

TEST_F(CallTest, RtcpIsSentToTheRtcpAttribute) {
  std::ignore = print(offer(audio(kA, 4000, "a=rtcp:4500 IN IP4 198.18.0.101\r\n")));
  const Printed answered = print(answer(audio(kB, 5000, "a=rtcp:5500\r\n")));
  EXPECT_EQ(rtcp_flow(answered.local()).destination, endpoint(kB, 5500));
}

TEST_F(CallTest, HoldByAddressStopsDeliveryAndResumeRestoresIt) {
  establish();
  Request hold = offer(audio("0.0.0.0", 4000));
  hold.to_tag = "B";
  EXPECT_EQ(print(hold).local(), to_b);
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000)) << "until the answer";
  std::ignore = print(answer(audio(kB, 5000, "a=recvonly\r\n")));
  EXPECT_TRUE(flow(to_b).active);
  EXPECT_FALSE(flow(to_b).destination);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
  Request resume = offer(audio(kA, 4000));
  resume.to_tag = "B";
  EXPECT_EQ(print(resume).local(), to_b);
  EXPECT_FALSE(flow(to_b).destination);
  std::ignore = print(answer(audio(kB, 5000)));
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

TEST_F(CallTest, AddressFamilySelectsTheReceivingSide) {
  Request crossing = offer(audio(kA, 4000));
  crossing.placement.address_family = Family::ipv6;
  EXPECT_EQ(reason(crossing), "No interface has an IPv6 media address");
  crossing.placement.address_family = Family::ipv4;
  std::ignore = print(crossing);
}

TEST_F(CallTest, NatWaitSendsNothingBeforeTheLatch) {
  Request waiting = offer(audio(kA, 4000));
  waiting.latching.nat_wait = true;
  const LocalPort offered = print(waiting).local();
  EXPECT_FALSE(flow(offered).destination);
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_FALSE(flow(offered).destination);
}

TEST_F(CallTest, PunchesNatTowardsThePartyOfTheFlag) {
  Request first = offer(audio(kA, 4000)), second = answer(audio(kB, 5000));
  first.latching.nat_punch = true;
  to_b = print(first).local();
  EXPECT_FALSE(flow(to_b).nat_punch);
  to_a = print(second).local();
  EXPECT_TRUE(flow(to_a).nat_punch);
  EXPECT_TRUE(rtcp_flow(to_a).nat_punch);
  EXPECT_FALSE(flow(to_b).nat_punch);

  // Each offer or answer of a party sets it again.
  first.latching.nat_punch = false;
  second.latching.nat_punch = true;
  first.to_tag = "B";
  std::ignore = print(first);
  std::ignore = print(second);
  EXPECT_FALSE(flow(to_a).nat_punch);
  EXPECT_TRUE(flow(to_b).nat_punch);
}

TEST_F(CallTest, PunchesNatTowardsASendingPartyOnly) {
  Request first = offer(audio(kA, 4000, "a=recvonly\r\n")), second = answer(audio(kB, 5000));
  first.latching.nat_punch = second.latching.nat_punch = true;
  to_b = print(first).local();
  to_a = print(second).local();
  EXPECT_FALSE(flow(to_a).nat_punch);
  EXPECT_TRUE(flow(to_b).nat_punch);
}

TEST_F(CallTest, MetadataAndLabelsAreReported) {
  Request first = offer(audio(kA, 4000)), second = answer(audio(kB, 5000));
  first.labels.label = "caller";
  first.labels.metadata = "tenant=7";
  second.labels.label = "callee";
  std::ignore = print(first);
  std::ignore = print(second);
  const Reply reply = handle(request(Command::query));
  const CallReport& call = std::get<reply::Query>(reply).call;
  EXPECT_EQ(call.metadata, "tenant=7");
  ASSERT_EQ(call.tags.size(), 2U);
  EXPECT_EQ(call.tags[0].label, "caller");
  EXPECT_EQ(call.tags[1].label, "callee");
  EXPECT_EQ(call.tags[0].sections.at(0).hints, std::vector{*IpAddress::parse(kA)});
}

TEST_F(CallTest, RejectedMediaNeitherSendsNorReceives) {
  std::ignore = print(offer(audio(kA, 4000) + media("video", 4002)));
  std::ignore = print(answer(audio(kB, 5000) + media("video", 0)));
  const Reply reply = handle(request(Command::query));
  const TagReport& callee = std::get<reply::Query>(reply).call.tags.at(1);
  EXPECT_TRUE(callee.sections.at(0).sends);
  EXPECT_FALSE(callee.sections.at(1).live);
  EXPECT_FALSE(callee.sections.at(1).sends);
  EXPECT_FALSE(callee.sections.at(1).receives);
}

TEST_F(CallTest, InterfacesAreChosenByName) {
  Request crossing = offer(audio(kA, 4000));
  crossing.placement.from_interface = "core";
  crossing.placement.to_interface = "edge";
  const Printed offered = print(crossing);
  EXPECT_EQ(offered.session.sections[0].connection, kEdge);
  const Printed answered = print(answer(audio("203.0.113.77", 5000)));
  EXPECT_EQ(answered.session.sections[0].connection, kCore);
  EXPECT_EQ(flow(offered.local()).destination, endpoint(kA, 4000));
  crossing.call_id = "other";
  crossing.placement.to_interface = "moon";
  EXPECT_EQ(reason(crossing), "Unknown interface 'moon'; configured: 'core' 'edge'");
}

// Re-anchoring: OpenSIPS's rtp_relay:update, or a failover, moves a call that the relay never had.
TEST_F(CallTest, AnOfferWithBothTagsMakesAnUnknownCall) {
  Request first = offer(audio(kA, 4000));
  first.to_tag = "B";
  to_b = print(first).local();
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000));
  to_a = print(answer(audio(kB, 5000))).local();
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(print(back(Command::offer, audio(kB, 5100))).local(), to_a);
  EXPECT_EQ(print(back(Command::answer, audio(kA, 4000))).local(), to_b);
  EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5100));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallTest, PrintsAdvertisedOrGivenAddress) {
  config.interfaces[0].advertised = {IpAddress::parse("192.0.2.50").value()};
  restart();
  EXPECT_EQ(print(offer(audio(kA, 4000))).session.sections[0].connection,
            IpAddress::parse("192.0.2.50"));
  Request given = answer(audio(kB, 5000));
  given.placement.media_address = IpAddress::parse("192.0.2.60").value();
  given.edits.replace_origin = true;
  const Printed answered = print(given);
  EXPECT_EQ(answered.session.sections[0].connection, IpAddress::parse("192.0.2.60"));
  EXPECT_NE(answered.body->find("o=- 1 1 IN IP4 192.0.2.60\r\n"), std::string::npos);
  EXPECT_EQ(reason(offer(audio("192.0.2.50", 4000))),
            "Media address 192.0.2.50 (m= in line 6 of the SDP) is the relay's own, and its port "
            "4000 belongs to no call; name a port that the relay gave to a call");
}

TEST_F(CallTest, OtherTransportsPassUnchangedAndOpaqueOnesHaveNoRtcp) {
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

TEST_F(CallTest, PartyBehindNatReceivesNothingBeforeTheLatch) {
  Request natted = offer(audio("192.168.1.20", 4000));
  natted.latching.received_from = IpAddress::parse("192.0.2.9").value();
  std::ignore = print(natted);
  const Printed answered = print(answer(audio(kB, 5000)));
  EXPECT_EQ(flow(answered.local()).destination, endpoint(kB, 5000));
  EXPECT_FALSE(flow(noted_ports.front()).destination);
  natted.latching.sip_source_address = true;
  std::ignore = print(natted);
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_EQ(flow(noted_ports.front()).destination, endpoint("192.0.2.9", 4000));
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

TEST_F(CallTest, InconsistentTagsAreRefused) {
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

TEST_F(CallTest, ReportHasBothSides) {
  establish();
  const Reply reply = handle(request(Command::query));
  const CallReport& call = std::get<reply::Query>(reply).call;
  EXPECT_EQ(call.call_id, "call");
  ASSERT_EQ(call.tags.size(), 2U);
  EXPECT_EQ(call.tags[0].tag, "A");
  EXPECT_EQ(call.tags[0].peer_tag, "B");
  EXPECT_EQ(call.tags[1].tag, "B");
  const MediaReport& audio_of_b = call.tags[1].sections.at(0);
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

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
// Parties of which one has RTP and RTCP on one port, the other, both or none (RFC 5761).

#include "tests/control/call/call_fixture.h"

namespace millrace {
namespace {

using Choice = sdp::MuxChoice;
constexpr const char* kMux = "a=rtcp-mux\r\n";
constexpr const char* kApart = "";

struct CallMux : CallTest {
  // A's offer and B's answer, with the SDP that each party received.
  std::optional<Printed> to_callee, to_caller;

  void call(const char* of_a, const Choice& asked, const char* of_b) {
    Request first = offer(audio(kA, 4000, of_a));
    first.edits.mux = asked;
    to_callee = print(first);
    to_caller = print(answer(audio(kB, 5000, of_b)));
    to_b = to_callee->local();
    to_a = to_caller->local();
  }
  [[nodiscard]] static bool has_mux(const Printed& printed) {
    return printed.body->find("a=rtcp-mux") != std::string::npos;
  }
  // a=rtcp-mux in the SDP to the callee, then in the SDP to the caller.
  void expect_mux(bool callee, bool caller) const {
    EXPECT_EQ(has_mux(*to_callee), callee) << *to_callee->body;
    EXPECT_EQ(has_mux(*to_caller), caller) << *to_caller->body;
    EXPECT_EQ(to_caller->body->find("a=rtcp:"), std::string::npos) << *to_caller->body;
  }
  // RTCP of A goes to this port of B, and that of B to that of A.
  void expect_split(int port_of_b, int port_of_a) const {
    EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
    EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4000));
    EXPECT_EQ(rtcp_flow(to_a).destination, endpoint(kB, port_of_b));
    EXPECT_EQ(rtcp_flow(to_b).destination, endpoint(kA, port_of_a));
  }
  void expect_together() const {
    EXPECT_EQ(flow(to_a).destination, endpoint(kB, 5000));
    EXPECT_FALSE(rtcp_flow(to_a).active);
    EXPECT_FALSE(rtcp_flow(to_b).active);
  }
  [[nodiscard]] std::vector<StreamReport> streams(std::string_view tag) {
    const Reply reply = handle(request(Command::query));
    const auto* query = std::get_if<reply::Query>(&reply);
    for (const TagReport& each : query->call.tags) {
      if (each.tag == tag) return each.sections.at(0).streams;
    }
    return {};
  }
};

TEST_F(CallMux, MuxIsNegotiatedEndToEndByDefault) {
  call(kMux, {}, kMux);
  expect_mux(true, true);
  expect_together();
  call(kMux, {}, kApart);
  expect_mux(true, false);
  expect_split(5001, 4001);
}

TEST_F(CallMux, AnswerHasMuxOnlyIfOffered) {
  call(kApart, {}, kMux);
  expect_mux(false, false);
  expect_split(5001, 4001);
}

TEST_F(CallMux, DemuxMultiplexesWithTheOffererOnly) {
  call(kMux, {.demux = true}, kApart);
  expect_mux(false, true);
  expect_split(5001, 4000);
  const auto of_a = streams("A"), of_b = streams("B");
  ASSERT_EQ(of_a.size(), 1U);
  EXPECT_TRUE(of_a[0].rtcp_mux);
  ASSERT_EQ(of_b.size(), 2U);
  EXPECT_FALSE(of_b[0].rtcp_mux || of_b[1].rtcp_mux);
  EXPECT_TRUE(of_b[1].rtcp);
  EXPECT_EQ(of_b[1].flow.destination, endpoint(kA, 4000));
}

TEST_F(CallMux, DemuxAlsoRemovesTheMuxOnlyAttribute) {
  call("a=rtcp-mux\r\na=rtcp-mux-only\r\n", {.demux = true}, kApart);
  expect_mux(false, true);
}

TEST_F(CallMux, DemuxWithoutMuxInTheOfferDoesNothing) {
  call(kApart, {.demux = true}, kApart);
  expect_mux(false, false);
  expect_split(5001, 4001);
}

TEST_F(CallMux, AcceptMultiplexesWhateverTheOtherAnswers) {
  call(kMux, {.accept = true}, kApart);
  expect_mux(true, true);
  expect_split(5001, 4000);
  call(kMux, {.accept = true}, kMux);
  expect_mux(true, true);
  expect_together();
}

TEST_F(CallMux, RejectAppliesToTheOffererOnly) {
  call(kMux, {.reject = true}, kMux);
  expect_mux(true, false);
  expect_split(5000, 4001);
  EXPECT_EQ(streams("A").size(), 2U);
  EXPECT_EQ(streams("B").size(), 1U);
}

TEST_F(CallMux, OfferMultiplexesWhateverTheOffererSupports) {
  call(kApart, {.offer = true}, kMux);
  expect_mux(true, false);
  expect_split(5000, 4001);
  call(kApart, {.offer = true}, kApart);
  expect_mux(true, false);  // a multiplexing party keeps a=rtcp-mux in its offers
  expect_split(5001, 4001);
}

TEST_F(CallMux, DemuxAndAcceptAreForTheOfferersSideOnly) {
  call(kMux, {.offer = true, .demux = true}, kMux);
  expect_mux(true, true);
  call(kMux, {.offer = true, .reject = true}, kMux);
  expect_mux(true, false);
  expect_split(5000, 4001);
}

TEST_F(CallMux, RequireWritesOnePort) {
  call("a=rtcp:4001\r\n", {.require = true}, kMux);
  EXPECT_TRUE(has_mux(*to_callee));
  EXPECT_NE(to_callee->body->find("a=rtcp:" + std::to_string(to_callee->port()) + "\r\n"),
            std::string::npos);
  expect_split(5000, 4001);
  EXPECT_FALSE(has_mux(*to_caller));
}

TEST_F(CallMux, ReofferKeepsTheSplitUntilAnswered) {
  call(kMux, {.demux = true}, kApart);
  Request again = offer(audio(kA, 4000, kApart));
  again.to_tag = "B";
  EXPECT_FALSE(has_mux(print(again)));
  expect_split(5001, 4000);
  EXPECT_FALSE(has_mux(print(answer(audio(kB, 5000)))));
  expect_split(5001, 4001);
  Request third = offer(audio(kA, 4000, kMux));
  third.to_tag = "B";
  third.edits.mux.demux = true;
  EXPECT_FALSE(has_mux(print(third)));
  EXPECT_TRUE(has_mux(print(answer(audio(kB, 5000)))));
  expect_split(5001, 4000);
  Request fourth = offer(audio(kA, 4000, kMux));
  fourth.to_tag = "B";
  EXPECT_TRUE(has_mux(print(fourth)));
  EXPECT_TRUE(has_mux(print(answer(audio(kB, 5000, kMux)))));
  expect_together();
}

TEST_F(CallMux, ReofferFromTheOtherSideKeepsTheSplit) {
  call(kMux, {.demux = true}, kApart);
  EXPECT_TRUE(has_mux(print(back(Command::offer, audio(kB, 5000)))));
  expect_split(5001, 4000);
  const Request answered = back(Command::answer, audio(kA, 4000, kMux));
  EXPECT_FALSE(has_mux(print(answered)));
  expect_split(5001, 4000);
}

TEST_F(CallMux, MovedEndpointMovesRtpAndRtcp) {
  call(kMux, {.demux = true}, kApart);
  Request moved = offer(audio(kA, 4600, kMux));
  moved.to_tag = "B";
  moved.edits.mux.demux = true;
  std::ignore = print(moved);
  std::ignore = print(answer(audio(kB, 5000)));
  EXPECT_EQ(flow(to_b).destination, endpoint(kA, 4600));
  EXPECT_EQ(rtcp_flow(to_b).destination, endpoint(kA, 4600));
}

TEST_F(CallMux, RejectedSectionHasNoMux) {
  Request first = offer(audio(kA, 4000, kMux));
  first.edits.mux.demux = true;
  const Printed offered = print(first);
  const Printed refused = print(answer(audio(kB, 0)));
  EXPECT_EQ(refused.port(), 0U);
  EXPECT_FALSE(has_mux(refused));
  EXPECT_FALSE(flow(offered.local()).active);
}

TEST_F(CallMux, DemuxWithIceWarns) {
  const std::string ice = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
  Request first = offer(audio(kA, 4000, ice + kMux));
  first.edits.mux.demux = true;
  const Reply warned = handle(first);
  EXPECT_NE(std::get<reply::Sdp>(warned).warning.find("ICE=remove"), std::string::npos);
  first.edits.ice = IceHandling::remove;
  const Reply without = handle(first);
  EXPECT_EQ(std::get<reply::Sdp>(without).warning, "");
  calls.reset();
}

}  // namespace
}  // namespace millrace

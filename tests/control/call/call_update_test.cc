// SPDX-License-Identifier: BSD-3-Clause
// Updates: offers and answers that only their CSeq distinguishes (call.h).

#include <vector>

#include <gtest/gtest.h>

#include "tests/control/call/calls_fixture.h"

namespace millrace {
namespace {

NamedMedia stream(std::string_view address, std::uint16_t port, unsigned index = 1) {
  NamedMedia media;
  media.index = index;
  media.endpoint = {IpAddress::parse(address).value(), UdpPort(port)};
  return media;
}

class CallUpdateTest : public CallsTest {
 protected:
  // The tags are those of the SIP request, in its replies too.
  [[nodiscard]] static Request update(std::string_view from, std::string_view to,
                                      std::uint32_t cseq, bool by_reply,
                                      std::vector<NamedMedia> sections) {
    Request result = request(Command::update);
    result.from_tag = from;
    result.to_tag = to;
    result.sip.cseq = cseq;
    result.sip.by_reply = by_reply;
    result.all_sections = true;
    result.sections = std::move(sections);
    return result;
  }
  [[nodiscard]] static Request invite(std::uint32_t cseq, std::vector<NamedMedia> sections,
                                      std::string_view to = "") {
    return update("A", to, cseq, false, std::move(sections));
  }
  [[nodiscard]] static Request ok(std::uint32_t cseq, std::vector<NamedMedia> sections) {
    return update("A", "B", cseq, true, std::move(sections));
  }
  void establish() {
    to_b = relay_endpoints(invite(1, {stream(kA, 4000)})).at(0);
    to_a = relay_endpoints(ok(1, {stream(kB, 5000)})).at(0);
  }

  Endpoint to_a, to_b;  // the relay's endpoints for A and B
};

TEST_F(CallUpdateTest, RequestOffersAndReplyAnswers) {
  establish();
  EXPECT_EQ(destination(to_a), endpoint(kB, 5000));
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000));
  EXPECT_EQ(relay_endpoints(invite(1, {stream(kA, 4000)})).at(0), to_b);  // retransmitted
  EXPECT_EQ(relay_endpoints(ok(1, {stream(kB, 5000)})).at(0), to_a);      // 183, then 200
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallUpdateTest, HigherCSeqIsANewOffer) {
  establish();
  EXPECT_EQ(relay_endpoints(invite(2, {stream(kA, 4100)}, "B")).at(0), to_b);
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000)) << "until the answer";
  EXPECT_EQ(relay_endpoints(ok(2, {stream(kB, 5100)})).at(0), to_a);
  EXPECT_EQ(destination(to_b), endpoint(kA, 4100));
  EXPECT_EQ(destination(to_a), endpoint(kB, 5100));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallUpdateTest, LowerCSeqChangesNothing) {
  establish();
  std::ignore = relay_endpoints(invite(2, {stream(kA, 4100)}, "B"));
  std::ignore = relay_endpoints(ok(2, {stream(kB, 5100)}));
  EXPECT_EQ(relay_endpoints(ok(1, {stream(kB, 5000)})).at(0), to_a);
  EXPECT_EQ(relay_endpoints(invite(1, {stream(kA, 4000)})).at(0), to_b);
  EXPECT_EQ(destination(to_a), endpoint(kB, 5100));
  EXPECT_EQ(destination(to_b), endpoint(kA, 4100));
}

TEST_F(CallUpdateTest, EachPartyCountsItsOwnCSeq) {
  std::ignore = relay_endpoints(invite(100, {stream(kA, 4000)}));
  to_a = relay_endpoints(ok(100, {stream(kB, 5000)})).at(0);
  EXPECT_EQ(relay_endpoints(update("B", "A", 1, false, {stream(kB, 5200)})).at(0), to_a);
  EXPECT_EQ(destination(to_a), endpoint(kB, 5000));
  to_b = relay_endpoints(update("B", "A", 1, true, {stream(kA, 4200)})).at(0);
  EXPECT_EQ(destination(to_a), endpoint(kB, 5200));
  EXPECT_EQ(destination(to_b), endpoint(kA, 4200));
  std::ignore = relay_endpoints(invite(101, {stream(kA, 4300)}, "B"));
  std::ignore = relay_endpoints(ok(101, {stream(kB, 5200)}));
  EXPECT_EQ(destination(to_b), endpoint(kA, 4300));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallUpdateTest, LateOfferComesInTheReplyAndItsAnswerInTheAck) {
  to_a = relay_endpoints(ok(1, {stream(kB, 5000)})).at(0);
  EXPECT_EQ(relay_endpoints(ok(1, {stream(kB, 5000)})).at(0), to_a);  // retransmitted
  to_b = relay_endpoints(invite(1, {stream(kA, 4000)}, "B")).at(0);
  EXPECT_EQ(destination(to_a), endpoint(kB, 5000));
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000));
  // The caller's next re-INVITE offers.
  EXPECT_EQ(relay_endpoints(invite(2, {stream(kA, 4100)}, "B")).at(0), to_b);
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000));
  EXPECT_EQ(relay_endpoints(ok(2, {stream(kB, 5000)})).at(0), to_a);
  EXPECT_EQ(destination(to_b), endpoint(kA, 4100));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallUpdateTest, PrackAnswersAnOfferOfAProvisionalReply) {
  to_a = relay_endpoints(ok(1, {stream(kB, 5000)})).at(0);
  to_b = relay_endpoints(invite(2, {stream(kA, 4000)}, "B")).at(0);
  EXPECT_EQ(destination(to_a), endpoint(kB, 5000));
  EXPECT_EQ(destination(to_b), endpoint(kA, 4000));
  expire_after(config.timeouts.offer + std::chrono::seconds(1));  // it is answered: no offer waits
  EXPECT_EQ(statistics().offer_timeouts, 0U);
}

TEST_F(CallUpdateTest, AuthenticatedInviteContinuesTheCall) {
  to_b = relay_endpoints(invite(1, {stream(kA, 4000)})).at(0);
  EXPECT_EQ(relay_endpoints(invite(2, {stream(kA, 4000)})).at(0), to_b);
  to_a = relay_endpoints(ok(2, {stream(kB, 5000)})).at(0);
  EXPECT_EQ(destination(to_a), endpoint(kB, 5000));
  EXPECT_EQ(statistics().sessions, 1U);
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallUpdateTest, LateCopyOfTheReplyMakesNoCall) {
  establish();
  std::ignore = relay_endpoints(invite(2, {stream(kA, 4000)}, "B"));
  std::ignore = relay_endpoints(ok(2, {stream(kB, 5000)}));
  Request bye = request(Command::remove);
  bye.removal.delay = std::chrono::seconds(0);
  std::ignore = handle(bye);
  for (const std::uint32_t cseq : {1U, 2U}) {
    EXPECT_EQ(reason(ok(cseq, {stream(kB, 5000)})), "Unknown call-id");
  }
  EXPECT_EQ(statistics().sessions, 0U);
  // A late offer of a new exchange makes one, and so does the same reply after 32 s.
  std::ignore = relay_endpoints(ok(3, {stream(kB, 5000)}));
  std::ignore = handle(bye);
  now += std::chrono::seconds(33);
  std::ignore = relay_endpoints(ok(1, {stream(kB, 5000)}));
  EXPECT_EQ(statistics().sessions, 1U);
}

TEST_F(CallUpdateTest, UpdateWithoutStreamsReturnsTheCurrentPorts) {
  EXPECT_EQ(reason(ok(1, {})), "Invalid dialogue association");
  EXPECT_EQ(statistics().sessions, 0U);
  establish();
  EXPECT_EQ(relay_endpoints(ok(1, {})), std::vector{to_a});
  EXPECT_EQ(destination(to_a), endpoint(kB, 5000));
}

TEST_F(CallUpdateTest, ShorterListRemovesTheRest) {
  std::ignore = relay_endpoints(invite(1, {stream(kA, 4000), stream(kA, 4002, 2)}));
  std::ignore = relay_endpoints(ok(1, {stream(kB, 5000), stream(kB, 5002, 2)}));
  EXPECT_EQ(statistics().ports_used, 8U);
  std::ignore = relay_endpoints(invite(2, {stream(kA, 4000)}, "B"));
  EXPECT_EQ(statistics().ports_used, 8U);  // until the answer
  to_a = relay_endpoints(ok(2, {stream(kB, 5000)})).at(0);
  EXPECT_EQ(statistics().ports_used, 4U);
  EXPECT_EQ(destination(to_a), endpoint(kB, 5000));
}

TEST_F(CallUpdateTest, AnswerWithFewerStreamsRejectsTheRest) {
  std::ignore = relay_endpoints(invite(1, {stream(kA, 4000), stream(kA, 4002, 2)}));
  std::ignore = relay_endpoints(ok(1, {stream(kB, 5000)}));
  EXPECT_EQ(statistics().ports_used, 4U);
}

TEST_F(CallUpdateTest, LocalAddressPicksItsInterface) {
  Request crossing = invite(1, {stream(kA, 4000)});
  crossing.placement.to_local = kEdge;
  EXPECT_EQ(relay_endpoints(crossing).at(0).address, kEdge);
  EXPECT_EQ(relay_endpoints(ok(1, {stream("203.0.113.77", 5000)})).at(0).address, kCore);
  crossing.call_id = "other";
  crossing.placement.to_local = IpAddress::v4(192, 0, 2, 1);  // not a local address: ignored
  EXPECT_EQ(relay_endpoints(crossing).at(0).address, kCore);
}

TEST_F(CallUpdateTest, ReportNamesTheParties) {
  const std::string long_uri(500, 'x');
  Request asked = invite(1, {stream(kA, 4000)});
  asked.labels.from_uri = "alice@example.com";
  asked.labels.to_uri = long_uri;
  asked.labels.user_agent = "phone a";
  std::ignore = relay_endpoints(asked);
  asked = ok(1, {stream(kB, 5000)});
  asked.labels.user_agent = "phone b";
  std::ignore = relay_endpoints(asked);
  const Reply reply = handle(request(Command::query));
  const CallReport& call = std::get<reply::Query>(reply).call;
  EXPECT_EQ(call.from_uri, "alice@example.com");
  EXPECT_EQ(call.to_uri, std::string(kMaxLabel, 'x'));
  EXPECT_EQ(call.tags.at(0).user_agent, "phone a");
  EXPECT_EQ(call.tags.at(1).user_agent, "phone b");
}

}  // namespace
}  // namespace millrace

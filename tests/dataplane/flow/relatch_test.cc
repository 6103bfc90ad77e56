// SPDX-License-Identifier: BSD-3-Clause
// What moves a latched party, and what does not.

#include "tests/dataplane/flow/latch_fixture.h"

namespace millrace::test {
namespace {

// A party that sends from port 5060 and receives at port 5000.
struct Asymmetric : Latch {
  const Endpoint sender = at_port(kPartyB, 5060);

  void SetUp() override {
    Latch::SetUp();
    path.b.remote = kPartyB;
    path.b.asymmetric = true;
  }
};

TEST_F(Asymmetric, IsReceivedFromAnyPortAndSentToTheSdpEndpoint) {
  publish();
  EXPECT_EQ(a().destination, kPartyB);
  ASSERT_TRUE(lab.from_b(rtp({}), kStart, sender));
  EXPECT_EQ(b().latched, sender);
  const auto out = lab.from_a(rtp({}));
  ASSERT_TRUE(out);
  EXPECT_EQ(destination_of(out->frame), kPartyB);
  publish();
  EXPECT_EQ(a().destination, kPartyB) << "also after another publish";
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 2}), kStart, sender));
}

TEST_F(Asymmetric, IsReceivedFromHintsOnly) {
  publish();
  EXPECT_FALSE(lab.from_b(rtp({}), kStart, kAttacker));
  ASSERT_TRUE(lab.from_b(rtp({}), kStart, sender));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 9, .ssrc = 9}), kStart, kPartyB));
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 2U);
}

TEST_F(Asymmetric, RebindingMovesTheSourceAlone) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({}), kStart, sender));
  const Endpoint rebound = at_port(kPartyB, 5070);
  ASSERT_TRUE(lab.from_b(rtp({.sequence = 2}), after_ms(200), rebound));
  EXPECT_EQ(b().latched, rebound);
  EXPECT_EQ(a().destination, kPartyB);
}

TEST_F(Asymmetric, SignallingMovesTheDestination) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({}), kStart, sender));
  path.b.remote = at_port(kPartyB, 6000);
  publish(OnPublish::reopen);
  EXPECT_EQ(a().destination, at_port(kPartyB, 6000));
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 2}), kStart, sender));
}

TEST_F(Asymmetric, LatchesWhereItWasSentToWithoutTheFlag) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({}), kStart, sender));
  path.b.asymmetric = false;
  publish();
  EXPECT_EQ(a().destination, sender);
}

TEST_F(Latch, StrictSourceDoesNotFollowARebinding) {
  path.b.strict_source = true;
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  const Endpoint rebound = at_port(kPartyB, 50000);
  for (std::uint16_t i = 2; i < 9; ++i) {
    EXPECT_FALSE(lab.from_b(rtp({.sequence = i}), after_ms(200U * i), rebound));
  }
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 7U);
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 9}), after_ms(2000))) << "the latched source stays";
  publish(OnPublish::reopen);
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 10}), after_ms(2000), rebound)) << "signalling moves it";
}

TEST_F(Latch, StrictSourceHoldsForRtcpToo) {
  path.payload = Payload::rtcp;
  path.b.strict_source = true;
  publish();
  ASSERT_TRUE(lab.from_b(rtcp(7)));
  EXPECT_FALSE(lab.from_b(rtcp(7), after_ms(2000), at_port(kPartyB, 5003)));
}

TEST_F(Latch, MarkedPacketsOfAStrictSideKeepTheirDscp) {
  path.b.strict_source = path.b.asymmetric = true;
  path.b.remote = kPartyB;
  path.dscp = 46;
  publish();
  const auto out = lab.from_b(rtp({}));
  ASSERT_TRUE(out);
  EXPECT_EQ(std::to_integer<int>(out->frame[15]), 46 << 2);
}

}  // namespace
}  // namespace millrace::test

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

// A latched party B at kPartyB. `rebound` is another port of its address.
struct Relatch : Latch {
  const Endpoint rebound = at_port(kPartyB, 50000);
  std::uint16_t sequence = 1;

  void SetUp() override {
    Latch::SetUp();
    publish();
    ASSERT_TRUE(lab.from_b(rtp({})));
  }
  // Two consecutive packets of another stream. Returns whether the second one was forwarded.
  bool try_stream(std::uint32_t ssrc, Tsc now, const Endpoint& source) {
    EXPECT_FALSE(lab.from_b(rtp({.sequence = ++sequence, .ssrc = ssrc}), now, source));
    return lab.from_b(rtp({.sequence = ++sequence, .ssrc = ssrc}), now, source).has_value();
  }
};

TEST_F(Relatch, AnotherStreamLatchesAfterFiveSecondsOfSilence) {
  EXPECT_FALSE(try_stream(9, after_ms(4999), rebound));
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 2U);
  EXPECT_FALSE(try_stream(9, after_ms(5000), kAttacker)) << "no hint";
  EXPECT_EQ(lab.dropped(DropReason::latch_probation), 0U);
  EXPECT_TRUE(try_stream(9, after_ms(5000), rebound));
  EXPECT_EQ(lab.dropped(DropReason::latch_probation), 1U);
  EXPECT_EQ(b().latched, rebound);
  EXPECT_EQ(a().destination, rebound);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}), after_ms(5001))) << "the old one is out";
}

TEST_F(Relatch, TheSameStreamLatchesAtAnyDistance) {
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 9001}), after_ms(5000), rebound));
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 9002}), after_ms(5000), rebound));
  EXPECT_EQ(b().latched, rebound);
}

TEST_F(Relatch, ProbationNeedsTwoPacketsInARow) {
  const Tsc later = after_ms(6000);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 10, .ssrc = 9}), later, rebound));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 12, .ssrc = 9}), later, rebound)) << "not in a row";
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 13, .ssrc = 8}), later, rebound)) << "another stream";
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 14, .ssrc = 8}), later, at_port(rebound, 50001)));
  // Strangers in between disturb nothing.
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 15, .ssrc = 8}), later, kAttacker));
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 15, .ssrc = 8}), later, at_port(rebound, 50001)));
}

TEST_F(Relatch, OnlyStreamsCountAsSilenceEnds) {
  for (const Bytes& packet :
       {stun(), bytes_of({22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})}) {
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(lab.from_b(packet, after_ms(9000), rebound));
  }
  EXPECT_EQ(b().latched, kPartyB);
}

// Open latching lets anyone be the first source, not the next one.
TEST_F(Relatch, OpenLatchMovesToHintsOnly) {
  path.b.latching = Latching::open;
  publish();
  EXPECT_FALSE(try_stream(9, after_ms(9000), kAttacker));
  EXPECT_EQ(b().latched, kPartyB);
  EXPECT_TRUE(try_stream(9, after_ms(9000), rebound));
}

TEST_F(Relatch, ZeroMeansNever) {
  lab.link(1).relatch_after = std::chrono::seconds(0);
  EXPECT_FALSE(try_stream(9, after_ms(3'600'000), rebound));
  lab.link(1).relatch_after = std::chrono::seconds(60);
  EXPECT_FALSE(try_stream(9, after_ms(59'999), rebound));
  EXPECT_TRUE(try_stream(9, after_ms(60'000), rebound));
}

TEST_F(Relatch, StrictSourceStays) {
  path.b.strict_source = true;
  publish();
  EXPECT_FALSE(try_stream(9, after_ms(60'000), rebound));
}

// An attacker behind the victim's NAT sprays while the victim talks, pauses for 3 s and rebinds.
TEST_F(Relatch, AttackerAtTheSameAddressGainsNothing) {
  const Endpoint attacker = at_port(kPartyB, 6666);
  std::uint32_t guess = 0x1000;
  std::uint16_t spoken = 1;
  const auto spray = [&](std::uint64_t from_ms, std::uint64_t to_ms, bool talks) {
    for (std::uint64_t ms = from_ms; ms < to_ms; ms += 5) {
      // Two streams of its own, two packets in a row each, and the keepalives and reports of
      // others.
      for (const std::uint32_t ssrc : {0x0badU, ++guess}) {
        for (const std::uint64_t n : {1U, 2U}) {
          const auto next = static_cast<std::uint16_t>(2 * ms + n);
          ASSERT_FALSE(lab.from_b(rtp({.sequence = next, .ssrc = ssrc}), after_ms(ms), attacker));
        }
      }
      for (const Bytes& packet : {stun(), rtcp(7), Bytes{}, rtp({.payload_type = 77})}) {
        ASSERT_FALSE(lab.from_b(packet, after_ms(ms), attacker));
      }
      if (talks && ms % 20 == 0) {
        ASSERT_TRUE(lab.from_b(rtp({.sequence = ++spoken}), after_ms(ms)));
      }
      ASSERT_EQ(b().latched, kPartyB);
      ASSERT_EQ(a().destination, kPartyB) << "nothing bled";
    }
  };
  spray(20, 2000, true);
  publish(OnPublish::renew, after_ms(1999));  // a re-INVITE of the talking victim
  spray(2000, 4000, true);
  spray(4000, 6980, false);
  spoken += 2;
  ASSERT_TRUE(lab.from_b(rtp({.sequence = spoken}), after_ms(6980), rebound)) << "rebinds";
  EXPECT_EQ(b().latched, rebound);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 5, .ssrc = 0x0bad}), after_ms(6981), attacker));
}

TEST_F(Relatch, SignallingWhileSilentOpensTheLatch) {
  publish(OnPublish::renew, after_ms(99));
  EXPECT_FALSE(try_stream(9, after_ms(120), rebound)) << "it was not silent";
  publish(OnPublish::renew, after_ms(100));
  EXPECT_FALSE(try_stream(9, after_ms(120), kAttacker)) << "no hint";
  publish(OnPublish::keep, after_ms(110));  // of the other party: changes nothing
  EXPECT_TRUE(try_stream(9, after_ms(120), rebound));
  EXPECT_EQ(b().latched, rebound);
  EXPECT_FALSE(try_stream(10, after_ms(400), at_port(kPartyB, 50001))) << "latched again: closed";
}

TEST_F(Relatch, SignallingEndsWhenTheOldSourceSendsAgain) {
  publish(OnPublish::renew, after_ms(500));
  ASSERT_TRUE(lab.from_b(rtp({.sequence = 2}), after_ms(510)));
  EXPECT_FALSE(try_stream(9, after_ms(4000), rebound)) << "in a later pause, too";
  EXPECT_EQ(b().latched, kPartyB);
}

TEST_F(Relatch, SignallingOpensAStrictLatch) {
  path.b.strict_source = true;
  publish(OnPublish::renew, after_ms(500));
  EXPECT_TRUE(try_stream(9, after_ms(520), rebound));
}

TEST_F(Relatch, OpaqueStreamsNeedTwoDatagrams) {
  lab.flows.withdraw(kPortB);
  path.payload = Payload::opaque;
  publish();
  ASSERT_TRUE(lab.from_b(bytes_of({0xff})));
  EXPECT_FALSE(lab.from_b(bytes_of({0xff}), after_ms(5000), rebound));
  EXPECT_TRUE(lab.from_b(bytes_of({0xff}), after_ms(5000), rebound));
}

// B's RTCP: from port 5001 to the port above.
struct RelatchRtcp : Relatch {
  LocalPort rtcp_b{kPortB.address, kPortB.port.next()};

  void SetUp() override {
    Relatch::SetUp();
    Path rtcp_path = path;
    rtcp_path.payload = Payload::rtcp;
    rtcp_path.a.local.port = kPortA.port.next();
    rtcp_path.b.local = rtcp_b;
    rtcp_path.a.remote = at_port(kPartyA, 4001);
    lab.flows.publish(rtcp_path, kStart);
    ASSERT_TRUE(report(0x11223344, 1, at_port(kPartyB, 5001)));
  }
  bool report(std::uint32_t ssrc, std::uint64_t ms, const Endpoint& source) {
    const Bytes packet = udp(source, {kLocalB.address, rtcp_b.port}, rtcp(ssrc));
    return lab.receive(1, ethernet(kMac1, kMacB, 0x0800, packet), after_ms(ms)).has_value();
  }
};

TEST_F(RelatchRtcp, FollowsItsRtp) {
  const Endpoint moved = at_port(kPartyB, 50001);
  EXPECT_FALSE(report(9, 5000, moved)) << "RTP has not moved";
  ASSERT_TRUE(try_stream(9, after_ms(5000), rebound));
  EXPECT_FALSE(report(8, 5001, moved)) << "not the SSRC of its RTP";
  EXPECT_TRUE(report(9, 5001, moved));
  EXPECT_EQ(lab.flows.read(rtcp_b, kStart).latched, moved);
}

TEST_F(RelatchRtcp, MovesAloneAfterFiveTimesTheSilenceOfBoth) {
  const Endpoint moved = at_port(kPartyB, 50001);
  ASSERT_TRUE(lab.from_b(rtp({.sequence = 2}), after_ms(24'000)));
  EXPECT_FALSE(report(9, 26'000, moved));
  EXPECT_FALSE(report(9, 26'001, moved)) << "RTP goes on";
  EXPECT_FALSE(report(9, 29'000, moved)) << "probation";
  EXPECT_TRUE(report(9, 29'001, moved));
}

}  // namespace
}  // namespace millrace::test

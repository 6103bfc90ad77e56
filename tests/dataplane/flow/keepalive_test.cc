// SPDX-License-Identifier: BSD-3-Clause
// Provisional opening: keepalives of RFC 6263 from a party behind a NAT that has not sent media.

#include "tests/dataplane/flow/latch_fixture.h"

namespace millrace::test {
namespace {

struct Keepalive : Latch {
  const Endpoint source = at_port(kPartyB, 40001);
  Bytes version0 = rtp({});
  std::vector<Bytes> all;

  Keepalive() {
    version0[0] = std::byte{0};
    all = {Bytes{}, rtp({.payload_type = 77}), version0};
    path.b.payload_types.set(0);
  }
};

TEST_F(Keepalive, OpensTheWayToThePartyAndIsNotForwarded) {
  for (const Bytes& keepalive : all) {
    lab.flows.withdraw(kPortB);
    publish();
    EXPECT_FALSE(lab.from_a(rtp({})));
    EXPECT_FALSE(lab.from_b(keepalive, kStart, source));
    EXPECT_EQ(a().destination, source);
    EXPECT_FALSE(b().latched);
    EXPECT_EQ(b().packets, 0U);
    const auto out = lab.from_a(rtp({.sequence = 2}));
    ASSERT_TRUE(out);
    EXPECT_EQ(destination_of(out->frame), source);
    EXPECT_FALSE(lab.from_b(keepalive, after_ms(15'000), source)) << "nor are later ones";
    EXPECT_FALSE(b().latched);
  }
  EXPECT_EQ(lab.dropped(DropReason::empty_datagram), 2U);
  EXPECT_EQ(lab.dropped(DropReason::payload_type), 2U);
  EXPECT_EQ(lab.dropped(DropReason::stun_malformed), 2U);
}

TEST_F(Keepalive, OpensForHintsOnly) {
  publish();
  for (const Latching latching : {Latching::restricted, Latching::open}) {
    path.b.latching = latching;
    publish();
    for (const Bytes& keepalive : all) {
      for (int i = 0; i < 3; ++i) EXPECT_FALSE(lab.from_b(keepalive, kStart, kAttacker));
    }
    EXPECT_FALSE(a().destination);
  }
}

TEST_F(Keepalive, FirstOneWinsUntilAValidPacket) {
  publish();
  EXPECT_FALSE(lab.from_b({}, kStart, source));
  EXPECT_FALSE(lab.from_b({}, after_ms(60'000), at_port(kPartyB, 40002)));
  EXPECT_EQ(a().destination, source);
  ASSERT_TRUE(lab.from_b(rtp({}), after_ms(60'000), at_port(kPartyB, 40003)));
  EXPECT_EQ(b().latched, at_port(kPartyB, 40003));
  EXPECT_EQ(a().destination, at_port(kPartyB, 40003));
  EXPECT_FALSE(lab.from_b({}, after_ms(120'000), source));
  EXPECT_EQ(b().latched, at_port(kPartyB, 40003)) << "a latch is not reopened";
}

TEST_F(Keepalive, LatchesWhereItOpened) {
  publish();
  EXPECT_FALSE(lab.from_b({}, kStart, source));
  ASSERT_TRUE(lab.from_b(rtp({}), kStart, source));
  ASSERT_TRUE(lab.from_b(rtp({.sequence = 2}), kStart, source));
  EXPECT_EQ(b().latched, source);
}

TEST_F(Keepalive, StaysOverAPublishAndEndsWhenTheSideMoves) {
  publish();
  EXPECT_FALSE(lab.from_b({}, kStart, source));
  publish();
  EXPECT_EQ(a().destination, source);
  path.b.remote = at_port(kPartyB, 7000);
  publish(OnPublish::reopen);
  EXPECT_EQ(a().destination, path.b.remote);
}

TEST_F(Keepalive, OpensNothingWithoutLatching) {
  path.b.remote = kPartyB;
  path.b.latching = Latching::off;
  publish();
  EXPECT_FALSE(lab.from_b({}, kStart, source));
  EXPECT_EQ(a().destination, kPartyB);
  path.b.latching = Latching::restricted;
  path.b.asymmetric = true;
  publish();
  EXPECT_FALSE(lab.from_b({}, kStart, source));
  EXPECT_EQ(a().destination, kPartyB);
}

TEST_F(Keepalive, OpensFaxAndRtcpPathsToo) {
  for (const Payload payload : {Payload::opaque, Payload::rtcp}) {
    lab.flows.withdraw(kPortB);
    path.payload = payload;
    publish();
    EXPECT_FALSE(lab.from_b({}, kStart, source));
    EXPECT_EQ(a().destination, source);
    EXPECT_FALSE(b().latched);
  }
}

TEST_F(Keepalive, OpensTheSplitOffRtcpOfAMultiplexingSide) {
  Path rtcp_path;
  path.b.rtcp_mux = true;
  publish();
  rtcp_path = path;
  rtcp_path.payload = Payload::rtcp;
  rtcp_path.a.local.port = kPortA.port.next();
  rtcp_path.b.local.port = kPortB.port.next();
  lab.flows.publish(rtcp_path, kStart);
  EXPECT_FALSE(lab.from_b({}, kStart, source));
  EXPECT_EQ(a().destination, source);
  EXPECT_EQ(lab.flows.read(rtcp_path.a.local, kStart).destination, source);
}

}  // namespace
}  // namespace millrace::test

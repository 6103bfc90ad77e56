// SPDX-License-Identifier: BSD-3-Clause
// Latching: which sources the relay accepts, packet by packet.

#include <random>

#include "tests/dataplane/flow/latch_fixture.h"

namespace millrace::test {
namespace {

TEST_F(Latch, TheFirstValidPacketOfAHintLatchesAddressAndPort) {
  publish();
  EXPECT_FALSE(a().destination) << "B is not known yet";
  EXPECT_FALSE(lab.from_a(rtp({}))) << "nowhere to send it";
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 1U);
  ASSERT_TRUE(lab.from_b(rtp({}), kStart, at_port(kPartyB, 40001)));
  EXPECT_EQ(b().latched, at_port(kPartyB, 40001));
  const auto out = lab.from_a(rtp({.sequence = 2}));
  ASSERT_TRUE(out);
  EXPECT_EQ(destination_of(out->frame), at_port(kPartyB, 40001));
}

TEST_F(Latch, WorksOverIpv6AndAcross) {
  for (const Family a : {Family::ipv4, Family::ipv6}) {
    PacketLab fresh;
    Path mixed = path_ab(a, Family::ipv6);
    mixed.b.remote.reset();
    fresh.flows.publish(mixed, kStart);
    const Endpoint stranger{v6("2001:db8:b::66"), kPartyB6.port};
    EXPECT_FALSE(fresh.from_b(rtp({}), kStart, stranger));
    EXPECT_EQ(fresh.dropped(DropReason::wrong_source), 1U);
    ASSERT_TRUE(fresh.from_b(rtp({}), kStart, at_port(kPartyB6, 40001)));
    EXPECT_EQ(fresh.flows.read(kPortB6, kStart).latched, at_port(kPartyB6, 40001));
    EXPECT_FALSE(fresh.from_b(rtp({.sequence = 2}), kStart, kPartyB6)) << "another port";
    const Endpoint party = a == Family::ipv4 ? kPartyA : kPartyA6;
    const auto out = fresh.from_a(rtp({}), kStart, party);
    ASSERT_TRUE(out);
    EXPECT_EQ(destination_of(out->frame), at_port(kPartyB6, 40001));
  }
}

TEST_F(Latch, InterfacePolicyOverridesHintsAndOpenLatching) {
  path.b.remote = kPartyB;
  PacketLab denying({1500, 1500},
                    {.allow = {}, .deny = {Prefix::parse("203.0.113.16/28").value()}});
  for (const Latching latching : {Latching::restricted, Latching::open}) {
    path.b.latching = latching;
    denying.flows.publish(path, kStart);
    EXPECT_FALSE(denying.flows.read(kPortA, kStart).destination) << "denied: nothing is sent there";
    for (std::uint16_t i = 1; i < 5; ++i) EXPECT_FALSE(denying.from_b(rtp({.sequence = i})));
    EXPECT_FALSE(denying.flows.read(kPortB, kStart).latched);
  }
  EXPECT_EQ(denying.dropped(DropReason::peer_denied), 8U);
  EXPECT_EQ(denying.flows.read(kPortB, kStart).refused, 8U);

  PacketLab listing({1500, 1500}, {.allow = {Prefix::parse("203.0.113.0/24").value()}, .deny = {}});
  listing.flows.publish(path, kStart);
  EXPECT_FALSE(listing.from_b(rtp({}), kStart, kAttacker));
  EXPECT_EQ(listing.dropped(DropReason::peer_denied), 1U);
  path.b.latching = Latching::restricted;
  listing.flows.publish(path, kStart);
  EXPECT_TRUE(listing.from_b(rtp({})));
}

TEST_F(Latch, BroadcastAddressesOfTheNetworkAreRefused) {
  path.a.hints = {IpAddress::v4(198, 18, 0, 255), IpAddress::v4(198, 18, 0, 0)};
  path.a.remote = Endpoint{IpAddress::v4(198, 18, 0, 255), UdpPort(4000)};
  publish();
  EXPECT_FALSE(b().destination);
  EXPECT_FALSE(lab.from_a(rtp({}), kStart, *path.a.remote));
  EXPECT_EQ(lab.dropped(DropReason::source_invalid), 1U);
}

TEST_F(Latch, StrangersAreNeitherForwardedNorSentTo) {
  publish();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(lab.from_b(rtp({}), kStart, kAttacker));
    EXPECT_FALSE(b().latched);
    EXPECT_FALSE(a().destination);
  }
  EXPECT_EQ(b().refused, 3U);
  EXPECT_EQ(b().packets, 0U);
  ASSERT_TRUE(lab.from_b(rtp({})));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}), kStart, kAttacker));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}), kStart, at_port(kPartyB, 5001)));
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 5U);
  EXPECT_EQ(b().latched, kPartyB);
  EXPECT_EQ(a().destination, kPartyB);
}

TEST_F(Latch, NoHintsLatchNothing) {
  path.b.hints.clear();
  publish();
  EXPECT_FALSE(lab.from_b(rtp({})));
  EXPECT_EQ(lab.dropped(DropReason::wrong_source), 1U);
}

TEST_F(Latch, OnlyTheFirstHintsCount) {
  path.b.hints.clear();
  for (std::uint8_t i = 0; i <= kMaxHints; ++i) {
    path.b.hints.push_back(IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(30 + i)));
  }
  publish();
  EXPECT_FALSE(lab.from_b(rtp({}), kStart, {path.b.hints[kMaxHints], UdpPort(5000)}));
  EXPECT_TRUE(lab.from_b(rtp({}), kStart, {path.b.hints[kMaxHints - 1], UdpPort(5000)}));
}

TEST_F(Latch, NonMediaDoesNotLatch) {
  path.b.payload_types.set(0).set(101);
  publish();
  Bytes version1 = rtp({});
  version1[0] = std::byte{0x40};
  Bytes truncated = rtp({});
  truncated.resize(11);
  Bytes csrcs = rtp({.payload = 0});
  csrcs[0] = std::byte{0x8f};
  const Bytes dtls = bytes_of({22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0});  // too short
  const Bytes unified = bytes_of({0x2f, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0});
  Bytes zrtp = zrtp_hello();
  zrtp[4] = std::byte{0};  // magic
  for (const Bytes& packet : {Bytes{}, bytes_of({13, 10}), version1, truncated, csrcs, dtls,
                              unified, zrtp, rtp({.payload_type = 8}), bytes_of({0, 1, 0, 0})}) {
    EXPECT_FALSE(lab.from_b(packet));
    EXPECT_FALSE(b().latched);
  }
  EXPECT_EQ(lab.dropped(DropReason::payload_type), 1U);
  EXPECT_TRUE(lab.from_b(rtp({.payload_type = 101})));
}

TEST_F(Latch, PayloadTypesAreOnlyForLatching) {
  path.b.payload_types.set(0);
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 2, .payload_type = 13})));
}

TEST_F(Latch, PayloadTypesLatchByNumber) {
  for (std::uint8_t type = 0; type < 128; ++type) {
    path.b.payload_types.reset();
    path.b.payload_types.set(type);
    lab.flows.withdraw(kPortB);
    publish();
    EXPECT_FALSE(lab.from_b(rtp({.payload_type = static_cast<std::uint8_t>(type ^ 1)})));
    EXPECT_FALSE(lab.from_b(rtp({.payload_type = static_cast<std::uint8_t>(type ^ 64)})));
    EXPECT_TRUE(lab.from_b(rtp({.payload_type = type})));
  }
}

TEST_F(Latch, StunLatchesAndTheFirstRtpDecides) {
  publish();
  ASSERT_TRUE(lab.from_b(stun()));
  EXPECT_EQ(b().latched, kPartyB);
  EXPECT_FALSE(lab.from_b(stun(), kStart, at_port(kPartyB, 5002))) << "no second guess";
  EXPECT_EQ(b().stun, 1U);
  ASSERT_TRUE(lab.from_b(rtp({}), kStart, at_port(kPartyB, 5002)));
  EXPECT_EQ(b().latched, at_port(kPartyB, 5002));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}))) << "it has been decided";
}

// Key agreement comes before any RTP, also of parties that are RTP/AVP in the SDP (OSRTP, ZRTP).
TEST_F(Latch, DtlsAndZrtpLatchAndTheFirstRtpDecides) {
  for (const bool encrypted : {false, true}) {
    for (const Bytes& packet :
         {bytes_of({22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}), zrtp_hello()}) {
      lab.flows.withdraw(kPortB);
      path.encrypted = encrypted;
      publish();
      EXPECT_FALSE(lab.from_b(packet, kStart, kAttacker));
      EXPECT_TRUE(lab.from_b(packet));
      EXPECT_EQ(b().latched, kPartyB);
      EXPECT_EQ(a().destination, kPartyB);
      EXPECT_FALSE(lab.from_b(packet, kStart, at_port(kPartyB, 5002)));
      EXPECT_TRUE(lab.from_b(rtp({}), kStart, at_port(kPartyB, 5002)));
    }
  }
}

// A NAT gives the phone a new port: same stream, going on, after the old source fell silent.
TEST_F(Latch, RebindingRelatches) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({.sequence = 65'530})));
  const Endpoint rebound = at_port(kPartyB, 50000);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 65'531}), after_ms(99), rebound)) << "not silent yet";
  ASSERT_TRUE(lab.from_b(rtp({.sequence = 5}), after_ms(100), rebound)) << "across the wrap";
  EXPECT_EQ(b().latched, rebound);
  EXPECT_EQ(a().destination, rebound);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 6}), after_ms(120))) << "the old one is out";
  EXPECT_EQ(b().packets, 2U);
}

TEST_F(Latch, RebindingNeedsHintSsrcAndSequence) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({.sequence = 1000})));
  const Endpoint rebound = at_port(kPartyB, 50000);
  const Tsc later = after_ms(500);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 1001}), later, at_port(kAttacker, 5000)));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 1001, .ssrc = 9}), later, rebound));
  for (const int n : {0, 999, 1000, 4001, 33'768}) {
    const auto sequence = static_cast<std::uint16_t>(n);
    EXPECT_FALSE(lab.from_b(rtp({.sequence = sequence}), later, rebound)) << sequence;
  }
  EXPECT_EQ(b().latched, kPartyB);
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 4000}), later, rebound));
}

// Spoofing the victim's address without seeing its stream.
TEST_F(Latch, BlindAttackIsDropped) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  std::mt19937 random{4};
  for (int i = 0; i < 20'000; ++i) {
    const Rtp guess{.sequence = static_cast<std::uint16_t>(random()),
                    .ssrc = static_cast<std::uint32_t>(random())};
    const Endpoint from = at_port(kPartyB, static_cast<std::uint16_t>(1024 + random() % 60'000));
    if (from == kPartyB) continue;
    ASSERT_FALSE(lab.from_b(rtp(guess), after_ms(1000), from));
  }
  EXPECT_EQ(b().latched, kPartyB);
  EXPECT_EQ(b().packets, 1U);
}

TEST_F(Latch, UnchangedReInviteReopensNothing) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  const FlowReport before = b();
  for (int i = 0; i < 5; ++i) {
    publish();
    const Endpoint same_nat = at_port(kPartyB, 5999);
    EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}), after_ms(50), same_nat));
    EXPECT_FALSE(lab.from_b(rtp({.sequence = 2, .ssrc = 5}), after_ms(2000), same_nat));
    EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}), after_ms(2000), kAttacker));
  }
  EXPECT_EQ(b().latched, kPartyB);
  EXPECT_EQ(b().packets, before.packets) << "statistics stay too";
  EXPECT_EQ(a().destination, kPartyB);
}

TEST_F(Latch, ReopenedSideForwardsUntilAnotherHintLatches) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  const Endpoint moved{IpAddress::v4(203, 0, 113, 77), UdpPort(7000)};
  lab.introduce(1, moved.address, kMacB);
  path.b.hints = {moved.address};
  publish(OnPublish::reopen);
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 2}))) << "the old source stays latched meanwhile";
  EXPECT_EQ(a().destination, kPartyB) << "and sent to: no new address to send to is known";
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 3}), kStart, kAttacker));
  ASSERT_TRUE(lab.from_b(rtp({.sequence = 7, .ssrc = 99}), kStart, moved)) << "at once";
  EXPECT_EQ(b().latched, moved);
  EXPECT_EQ(a().destination, moved);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 3}))) << "no way back";
}

TEST_F(Latch, ReopenedSideSendsToTheNewRemote) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  const Endpoint moved{IpAddress::v4(203, 0, 113, 77), UdpPort(7000)};
  path.b.remote = moved;
  path.b.hints = {moved.address};
  publish(OnPublish::reopen);
  EXPECT_EQ(a().destination, moved);
  publish();
  EXPECT_EQ(a().destination, moved) << "a later unchanged offer changes nothing";
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 2}))) << "still latched";
  EXPECT_EQ(a().destination, moved);
}

TEST_F(Latch, LatchingOffAcceptsTheSdpEndpointOnly) {
  path.b.latching = Latching::off;
  path.b.remote = kPartyB;
  publish();
  EXPECT_FALSE(b().latched) << "not latched yet";
  EXPECT_FALSE(lab.from_b(rtp({}), kStart, at_port(kPartyB, 5001)));
  EXPECT_TRUE(lab.from_b(rtp({})));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}), after_ms(1000), at_port(kPartyB, 5001)));
  EXPECT_EQ(b().latched, kPartyB);
  path.b.remote = at_port(kPartyB, 5001);
  publish(OnPublish::reopen);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 3})));
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 3}), after_ms(1000), at_port(kPartyB, 5001)));
}

TEST_F(Latch, OpenNeedsTwoPacketsInARow) {
  path.b.latching = Latching::open;
  path.b.hints.clear();
  publish();
  const Endpoint any{IpAddress::v4(203, 0, 113, 99), UdpPort(9000)};
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 10}), kStart, any));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 12}), kStart, any)) << "not in a row";
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 13, .ssrc = 2}), kStart, any)) << "another SSRC";
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 14, .ssrc = 2}), kStart, at_port(any, 9001)));
  EXPECT_EQ(lab.dropped(DropReason::latch_probation), 4U);
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 15, .ssrc = 2}), kStart, at_port(any, 9001)));
  EXPECT_EQ(b().latched, at_port(any, 9001));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 30}), kStart, kAttacker));
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 31}), kStart, kAttacker)) << "latched is latched";
}

TEST_F(Latch, OpaquePathsLatchOnAnyNonEmptyDatagram) {
  path.payload = Payload::opaque;
  publish();
  EXPECT_FALSE(lab.from_b({}));
  EXPECT_TRUE(lab.from_b(bytes_of({0xff})));
  EXPECT_TRUE(lab.from_b({})) << "a keepalive of the latched source passes";
  EXPECT_TRUE(lab.from_b(stun()));
  EXPECT_EQ(b().stun, 1U);
  EXPECT_EQ(b().packets, 3U);
  EXPECT_FALSE(lab.from_b(bytes_of({0xff}), after_ms(5000), at_port(kPartyB, 5001)));
}

TEST_F(Latch, RtcpPathsLatchOnRtcpAndFollowItsSender) {
  path.payload = Payload::rtcp;
  publish();
  EXPECT_FALSE(lab.from_b(rtp({})));
  ASSERT_TRUE(lab.from_b(rtcp(7)));
  const Endpoint rebound = at_port(kPartyB, 5003);
  EXPECT_FALSE(lab.from_b(rtcp(7), after_ms(999), rebound));
  EXPECT_FALSE(lab.from_b(rtcp(8), after_ms(1000), rebound));
  EXPECT_TRUE(lab.from_b(rtcp(7), after_ms(1000), rebound));
  EXPECT_FALSE(b().ssrc) << "no RTP statistics";
}

TEST_F(Latch, ImpossibleSourcesHaveTheirDropReason) {
  path.b.latching = Latching::open;
  publish();
  for (const Endpoint& source : {Endpoint{IpAddress::v4(0, 0, 0, 0), UdpPort(5)},
                                 Endpoint{IpAddress::v4(127, 0, 0, 1), UdpPort(5)},
                                 Endpoint{IpAddress::v4(224, 0, 0, 1), UdpPort(5)},
                                 Endpoint{IpAddress::v4(255, 255, 255, 255), UdpPort(5)},
                                 Endpoint{IpAddress::v4(169, 254, 1, 1), UdpPort(5)},
                                 Endpoint{kPartyB.address, UdpPort(0)}, kLocalB, kLocalA}) {
    EXPECT_FALSE(lab.from_b(rtp({}), kStart, source)) << source.text();
    EXPECT_FALSE(lab.from_b(rtp({.sequence = 2}), kStart, source)) << source.text();
  }
  EXPECT_EQ(lab.dropped(DropReason::source_invalid), 16U);
}

TEST_F(Latch, UnsendableAddressesAreNoDestination) {
  for (const Endpoint& to : {kLocalB6, Endpoint{IpAddress::v4(127, 0, 0, 1), UdpPort(9)},
                             Endpoint{IpAddress::v4(224, 0, 0, 1), UdpPort(9)},
                             Endpoint{IpAddress::parse("2001:db8::1").value(), UdpPort(9)},
                             Endpoint{kPartyB.address, UdpPort(0)}}) {
    path.b.remote = to;
    publish();
    EXPECT_FALSE(a().destination) << to.text();
    EXPECT_FALSE(lab.from_a(rtp({}))) << to.text();
  }
}

TEST_F(Latch, HoldStopsSendingAndResumeRestoresIt) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  path.b.deliver = false;
  publish();
  EXPECT_FALSE(lab.from_a(rtp({})));
  EXPECT_EQ(lab.dropped(DropReason::held), 1U);
  EXPECT_FALSE(a().destination);
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 2}))) << "the held side may talk";
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 3}), after_ms(200), at_port(kPartyB, 5001)))
      << "and rebind";
  EXPECT_FALSE(lab.from_a(rtp({.sequence = 2})));
  path.b.deliver = true;
  publish();
  ASSERT_TRUE(lab.from_a(rtp({.sequence = 3})));
  EXPECT_EQ(a().destination, at_port(kPartyB, 5001));
  EXPECT_EQ(a().packets, 3U);
  EXPECT_EQ(a().forwarded, 1U);
}

TEST_F(Latch, WithdrawnPortsAreEmpty) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  lab.flows.withdraw(kPortB);
  EXPECT_FALSE(b().active);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 2})));
  EXPECT_EQ(lab.dropped(DropReason::port_inactive), 1U);
  EXPECT_FALSE(lab.from_a(rtp({}))) << "nothing leaves from the withdrawn port";
  publish();
  EXPECT_EQ(b().packets, 0U);
  EXPECT_FALSE(b().latched);
}

// Forked answers: the last one wins, and the first callee no longer reaches the caller.
TEST_F(Latch, NewPartnerReplacesTheOldOne) {
  publish();
  ASSERT_TRUE(lab.from_b(rtp({})));
  ASSERT_TRUE(lab.from_a(rtp({})));
  Path second = path;
  second.b.local = {kPortB.address, UdpPort(30010)};
  lab.flows.publish(second, kStart);
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 2})));
  EXPECT_EQ(lab.dropped(DropReason::no_destination), 1U);
  EXPECT_EQ(a().latched, kPartyA) << "the caller stays latched";
  const Bytes frame = ethernet(
      kMac1, kMacB, 0x0800,
      udp({kPartyB.address, UdpPort(8000)}, {kLocalB.address, UdpPort(30010)}, rtp({.ssrc = 2})));
  ASSERT_TRUE(lab.receive(1, frame));
  EXPECT_EQ(a().destination, (Endpoint{kPartyB.address, UdpPort(8000)}));
}

}  // namespace
}  // namespace millrace::test

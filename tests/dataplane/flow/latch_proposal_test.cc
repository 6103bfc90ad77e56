// SPDX-License-Identifier: BSD-3-Clause
// A pending offer that moves a party (RFC 3264 section 8.3.1): B is latched at kPartyB.

#include "tests/dataplane/flow/latch_fixture.h"

namespace millrace::test {
namespace {

struct LatchProposal : Latch {
  const Endpoint moved = at_port(kPartyB, 5600);
  std::uint16_t sequence = 0;

  void SetUp() override {
    Latch::SetUp();
    path.b.remote = kPartyB;
    publish();
    ASSERT_TRUE(hear(kPartyB));
  }
  // An RTP packet of B from `source`, in the order of its stream.
  bool hear(const Endpoint& source, Tsc now = kStart, std::uint32_t ssrc = 1) {
    return lab.from_b(rtp({.sequence = ++sequence, .ssrc = ssrc}), now, source).has_value();
  }
  void propose(std::optional<Endpoint> remote, std::vector<IpAddress> hints) {
    path.b.proposed = ProposedPlace{remote, std::move(hints)};
    publish();
  }
  // The proposal is off: refused, or replaced by an offer of the place in force.
  void drop() {
    path.b.proposed.reset();
    publish();
  }
  void agree(std::optional<Endpoint> remote) {
    path.b.hints = path.b.proposed->hints;
    path.b.remote = remote;
    path.b.proposed.reset();
    publish(OnPublish::reopen);
  }
};

TEST_F(LatchProposal, MediaStaysUntilSomethingIsReceivedFromTheProposedPort) {
  propose(moved, {kPartyB.address});
  EXPECT_EQ(a().destination, kPartyB);
  EXPECT_TRUE(hear(kPartyB));
  EXPECT_FALSE(hear(at_port(kPartyB, 5601))) << "neither port, and the old one talks";
  EXPECT_EQ(a().destination, kPartyB);
  EXPECT_TRUE(hear(moved, kStart, 9)) << "at once, with any stream";
  EXPECT_EQ(a().destination, moved);
  EXPECT_TRUE(hear(kPartyB)) << "and back at once";
  EXPECT_EQ(a().destination, kPartyB);
  EXPECT_TRUE(hear(moved, kStart, 9));
  EXPECT_EQ(b().latched, moved);
}

TEST_F(LatchProposal, DroppedProposalLatchesTheFormerSourceAgain) {
  propose(moved, {kPartyB.address});
  drop();
  EXPECT_FALSE(hear(moved)) << "never used";
  propose(moved, {kPartyB.address});
  ASSERT_TRUE(hear(moved));
  drop();
  EXPECT_EQ(b().latched, kPartyB);
  EXPECT_EQ(a().destination, kPartyB);
  EXPECT_TRUE(hear(kPartyB));
  EXPECT_FALSE(hear(moved));
  EXPECT_EQ(b().packets, 3U) << "statistics stay";
}

TEST_F(LatchProposal, RepublishedProposalKeepsBothSources) {
  propose(moved, {kPartyB.address});
  ASSERT_TRUE(hear(moved));
  path.b.hints = {IpAddress::v4(203, 0, 113, 80), kPartyB.address};  // a trickled candidate
  publish();
  EXPECT_EQ(a().destination, moved);
  EXPECT_TRUE(hear(kPartyB));
  EXPECT_EQ(a().destination, kPartyB);
}

TEST_F(LatchProposal, AgreedProposalKeepsItsLatch) {
  propose(moved, {kPartyB.address});
  ASSERT_TRUE(hear(moved));
  agree(moved);
  EXPECT_EQ(b().latched, moved);
  EXPECT_FALSE(hear(kPartyB)) << "no way back";
  EXPECT_FALSE(hear(at_port(kPartyB, 5601), after_ms(50)));
  EXPECT_TRUE(hear(moved));
}

TEST_F(LatchProposal, AgreedAddressNeedsNoReopening) {
  const Endpoint away{IpAddress::v4(203, 0, 113, 77), UdpPort(7000)};
  lab.introduce(1, away.address, kMacB);
  propose(std::nullopt, {kPartyB.address, away.address});  // a new candidate
  ASSERT_TRUE(hear(away, after_ms(200)));
  path.b.hints = path.b.proposed->hints;
  drop();
  EXPECT_EQ(b().latched, away);
}

TEST_F(LatchProposal, AgreedProposalThatSentNothingYetIsReopened) {
  propose(moved, {kPartyB.address});
  agree(moved);
  EXPECT_EQ(a().destination, moved);
  EXPECT_TRUE(hear(kPartyB)) << "its last packets from there";
  EXPECT_EQ(a().destination, moved);
  EXPECT_TRUE(hear(moved));
  EXPECT_FALSE(hear(kPartyB));
}

// Behind a NAT the proposed port is unknown: another port counts once the party's source is silent.
TEST_F(LatchProposal, AnotherPortOfANatNeedsSilence) {
  propose(std::nullopt, {kPartyB.address});
  const Endpoint mapped = at_port(kPartyB, 41000);
  EXPECT_FALSE(hear(mapped, after_ms(99), 9));
  ASSERT_TRUE(hear(kPartyB, after_ms(99)));
  EXPECT_FALSE(hear(mapped, after_ms(198), 9));
  EXPECT_FALSE(hear(kAttacker, after_ms(300), 9)) << "no hint";
  ASSERT_TRUE(hear(mapped, after_ms(300), 9));
  EXPECT_EQ(a().destination, mapped);
  EXPECT_FALSE(hear(at_port(kPartyB, 41001), after_ms(900), 10)) << "only once";
  EXPECT_TRUE(hear(kPartyB, after_ms(901)));
  EXPECT_EQ(a().destination, kPartyB);
}

TEST_F(LatchProposal, MovedAddressIsAHintOnlyWhileProposed) {
  const Endpoint away{IpAddress::v4(203, 0, 113, 77), UdpPort(7000)};
  lab.introduce(1, away.address, kMacB);
  EXPECT_FALSE(hear(away));
  propose(away, {away.address});
  EXPECT_TRUE(hear(away, kStart, 9));
  EXPECT_EQ(a().destination, away);
  drop();
  EXPECT_EQ(a().destination, kPartyB);
  EXPECT_FALSE(hear(away, after_ms(1000), 9));
}

TEST_F(LatchProposal, ProposedPlaceMayBeTheFirstOne) {
  lab.flows.withdraw(kPortB);
  propose(moved, {kPartyB.address});
  ASSERT_TRUE(hear(moved));
  EXPECT_EQ(a().destination, moved);
  drop();
  EXPECT_EQ(a().destination, kPartyB) << "it is in force";
  EXPECT_TRUE(hear(kPartyB));
  EXPECT_FALSE(hear(moved));
}

TEST_F(LatchProposal, HintsInForceLeaveRoomForProposedOnes) {
  std::vector<IpAddress> many, more;
  for (std::uint8_t i = 0; i < kMaxHints; ++i) {
    many.push_back(IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(100 + i)));
    more.push_back(IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(150 + i)));
  }
  path.b.hints = many;
  propose(std::nullopt, more);
  const Record& record = lab.flows.record(SlotIndex(kPortB));
  const PartyAddresses addresses = lab.flows.addresses(SlotIndex(kPortB));
  for (std::size_t i = 0; i < kMaxHints; ++i) {
    EXPECT_EQ(addresses.load(i), i < 4 ? many[i] : more[i - 4]);
  }
  EXPECT_EQ(record.ports.load().proposed_hints, 0xf0);
  drop();
  EXPECT_EQ(addresses.load(7), many[7]);
}

// Another address of the party gains nothing by the port of either place.
TEST_F(LatchProposal, PortsOfBothPlacesCountAtTheirAddressesOnly) {
  const Endpoint away{IpAddress::v4(203, 0, 113, 77), UdpPort(7000)};
  path.b.hints = {kPartyB.address, away.address};
  propose(moved, {kPartyB.address});
  EXPECT_FALSE(hear({away.address, moved.port})) << "the proposed port";
  ASSERT_TRUE(hear(moved));
  EXPECT_FALSE(hear({away.address, kPartyB.port})) << "the former port";
  EXPECT_EQ(a().destination, moved);
}

TEST_F(LatchProposal, FirstSourceOfAProposedHintEndsWithTheProposal) {
  const Endpoint away{IpAddress::v4(203, 0, 113, 77), UdpPort(7000)};
  lab.flows.withdraw(kPortB);
  propose(std::nullopt, {away.address});
  ASSERT_TRUE(hear(away));
  drop();
  EXPECT_EQ(a().destination, kPartyB);
}

TEST_F(LatchProposal, PartyThatWentBackMovesAtTheAnswer) {
  propose(moved, {kPartyB.address});
  ASSERT_TRUE(hear(moved));
  ASSERT_TRUE(hear(kPartyB));
  agree(moved);
  EXPECT_EQ(a().destination, moved);
}

TEST_F(LatchProposal, RebindingAtTheProposedPlaceKeepsTheFormerSource) {
  propose(moved, {kPartyB.address});
  ASSERT_TRUE(hear(moved));
  ASSERT_TRUE(hear(at_port(kPartyB, 41000), after_ms(300)));
  drop();
  EXPECT_EQ(b().latched, kPartyB);
}

TEST_F(LatchProposal, LatchingOffFollowsTheAnswerOnly) {
  path.b.latching = Latching::off;
  propose(moved, {kPartyB.address});
  EXPECT_FALSE(hear(moved));
  EXPECT_TRUE(hear(kPartyB));
  agree(moved);
  EXPECT_TRUE(hear(moved));
  EXPECT_FALSE(hear(kPartyB));
}

TEST_F(LatchProposal, RtcpFollowsOnItsOwnPort) {
  path.payload = Payload::rtcp;
  publish();
  ASSERT_TRUE(lab.from_b(rtcp(1)));
  propose(moved, {kPartyB.address});
  EXPECT_EQ(a().destination, kPartyB);
  ASSERT_TRUE(lab.from_b(rtcp(1), kStart, moved));
  EXPECT_EQ(a().destination, moved);
  drop();
  EXPECT_EQ(a().destination, kPartyB);
}

// The m= line became audio: packets of the former video are dropped.
TEST_F(LatchProposal, TypesOfTheFormerMediaAreDropped) {
  path.b.payload_types.set(0);
  path.b.only_negotiated = true;
  publish();
  EXPECT_FALSE(lab.from_b(rtp({.sequence = 2, .payload_type = 96})));
  EXPECT_EQ(lab.dropped(DropReason::payload_type), 1U);
  EXPECT_EQ(b().packets, 1U) << "not counted";
  EXPECT_TRUE(hear(kPartyB));
  path.b.only_negotiated = false;
  publish();
  EXPECT_TRUE(lab.from_b(rtp({.sequence = 3, .payload_type = 96}))) << "as before it latched";
}

}  // namespace
}  // namespace millrace::test

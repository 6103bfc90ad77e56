// SPDX-License-Identifier: BSD-3-Clause
// A neighbour that moves to another MAC, and false claims of such a move.

#include <optional>

#include "tests/dataplane/host/neighbor_fixture.h"

namespace millrace::test {
namespace {

using NeighborClaims = NeighborFixture;

// Runs the table in steps of 10 ms without replies; returns the solicitations with their times.
struct Asked {
  double seconds;
  Solicitation request;
};
// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): an interval
std::vector<Asked> run(NeighborTable& table, double from, double to) {
  std::vector<Asked> asked;
  for (double now = from; now < to; now += 0.01) {
    if (!table.due(at(now))) continue;
    for (const Solicitation& request : requests_of(table, at(now))) asked.push_back({now, request});
  }
  return asked;
}

TEST_F(NeighborClaims, MoveIsFollowedWithinHalfASecond) {
  const NextHop hop = make(kPeer, at(0));
  table.claim(kPeer, kOtherMac, at(5));
  EXPECT_EQ(table.word(hop.index).mac(), kMac) << "a claim alone changes nothing";
  const std::vector<Asked> asked = run(table, 5, 5.6);
  ASSERT_EQ(asked.size(), 2U);
  EXPECT_LT(asked[0].seconds, 5.11);
  EXPECT_EQ(asked[0].request.to, kMac) << "first the known one, alone";
  EXPECT_LT(asked[1].seconds, 5.51);
  EXPECT_FALSE(asked[1].request.to) << "it is silent: everyone";
  EXPECT_TRUE(table.learn(kPeer, kOtherMac, at(5.6)));
  EXPECT_TRUE(matches(hop));
  EXPECT_EQ(table.word(hop.index).mac(), kOtherMac);
  EXPECT_TRUE(run(table, 5.6, 20).empty());
}

TEST_F(NeighborClaims, AnsweringOwnerKeepsItsEntry) {
  const NextHop hop = make(kPeer, at(0));
  table.claim(kPeer, kOtherMac, at(5));
  ASSERT_EQ(run(table, 5, 5.11).size(), 1U);
  EXPECT_FALSE(table.learn(kPeer, kOtherMac, at(5.12))) << "only the known MAC was asked";
  EXPECT_TRUE(table.learn(kPeer, kMac, at(5.13)));
  EXPECT_EQ(table.word(hop.index).mac(), kMac);
  EXPECT_TRUE(run(table, 5.2, 20).empty()) << "the matter is settled";
}

// Its answers may come before the owner's, and at any time of an ordinary probe.
TEST_F(NeighborClaims, FalseClaimsChangeNothingWhileTheOwnerAnswers) {
  const NextHop hop = make(kPeer, at(0));
  std::size_t probes = 0;
  for (double now = 0.01; now < 100; now += 0.01) {
    (void)table.lookup(hop);
    table.claim(kPeer, kOtherMac, at(now));
    EXPECT_FALSE(table.learn(kPeer, kOtherMac, at(now)));
    if (!table.due(at(now))) continue;
    for (const Solicitation& request : requests_of(table, at(now))) {
      EXPECT_EQ(request.to, kMac);
      EXPECT_FALSE(table.learn(kPeer, kOtherMac, at(now)));
      EXPECT_TRUE(table.learn(kPeer, kMac, at(now)));
      ++probes;
    }
  }
  EXPECT_EQ(table.word(hop.index).mac(), kMac);
  EXPECT_GT(probes, 200U);
  EXPECT_LE(probes, 334U) << "10,000 claims: one probe in 300 ms";
}

TEST_F(NeighborClaims, ClaimHastensAnOrdinaryProbe) {
  const NextHop hop = make(kPeer, at(0));
  std::vector<Asked> asked;
  double now = 0;
  for (; asked.empty(); now += 0.1) {
    (void)table.lookup(hop);
    asked = run(table, now, now + 0.01);
  }
  table.claim(kPeer, kOtherMac, at(now));
  asked = run(table, now, now + 0.5);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_FALSE(asked[0].request.to) << "the known MAC had 300 ms";
}

TEST_F(NeighborClaims, SilentNeighbourThatReturnsIsSolicitedSoon) {
  (void)resolve(kPeer, at(0));
  EXPECT_GE(run(table, 0, 9).size(), 3U);
  ASSERT_TRUE(run(table, 9, 9.2).empty()) << "asked every 5 s by now";
  table.claim(kPeer, kMac, at(9.2));
  ASSERT_EQ(run(table, 9.2, 9.4).size(), 1U);
  EXPECT_TRUE(table.learn(kPeer, kMac, at(9.4)));
}

TEST_F(NeighborClaims, ClaimsThatChangeNothingStartNoProbe) {
  make(kPeer, at(0));
  table.claim(kPeer, kMac, at(5));
  table.claim(kPeer, MacAddress{}, at(5));
  table.claim(kPeer, MacAddress{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, at(5));
  table.claim(IpAddress::v4(198, 18, 0, 99), kOtherMac, at(5));
  EXPECT_TRUE(run(table, 5, 20).empty());
  EXPECT_EQ(table.report(at(20)).size(), 1U);
}

}  // namespace
}  // namespace millrace::test

// SPDX-License-Identifier: BSD-3-Clause
// SDP may name any address of our networks (RFC 6583): thousands of absent hosts beside honest
// ones.

#include <optional>

#include "tests/dataplane/host/neighbor_fixture.h"

namespace millrace::test {
namespace {

struct NeighborFlood : testing::Test {
  const IpAddress honest_ = IpAddress::v4(10, 200, 0, 1);
  NeighborTable table{{Prefix{IpAddress::v4(10, 0, 0, 1), 8}}, {IpAddress::v4(10, 0, 0, 254)}, kHz};
  std::uint32_t last = 0;

  IpAddress absent() { return IpAddress::v4(Be32(0x0a010000U + ++last)); }
  bool resolved(const IpAddress& address, Tsc now) {
    for (const NeighborReport& one : table.report(now)) {
      if (one.address == address) return one.mac.has_value();
    }
    return false;
  }
};

TEST_F(NeighborFlood, UnresolvedEntriesAreBounded) {
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(table.resolve(absent(), at(0)));
  EXPECT_EQ(table.report(at(0)).size(), NeighborTable::kUnresolved + 1) << "and the gateway";
}

// An honest neighbour answers within 2 ms. A packet for it comes every 20 ms; the attacker names
// 10,000 absent hosts a second.
TEST_F(NeighborFlood, HonestNeighbourResolvesWithin100ms) {
  for (int i = 0; i < 5000; ++i) (void)table.resolve(absent(), at(0));
  for (int round = 0; round < 20; ++round) {
    const double start = 1 + round;
    const IpAddress honest = IpAddress::v4(10, 200, 0, static_cast<std::uint8_t>(1 + round));
    std::optional<double> took, answer;
    NextHop hop;
    for (int step = 0; step < 10'000 && !took; ++step) {
      const double now = start + step * 0.0001;
      (void)table.resolve(absent(), at(now));
      if (answer && now >= *answer) {
        EXPECT_TRUE(table.learn(honest, kMac, at(now)));
        answer.reset();
      }
      if (step % 200 == 0 && table.lookup(hop) == HopState::stale) {
        hop = table.resolve(honest, at(now)).value();
        (void)table.lookup(hop);
      }
      if (table.word(hop.index).matches(hop)) took = now - start;
      if (!table.due(at(now))) continue;
      for (const Solicitation& request : requests_of(table, at(now), 16)) {
        if (request.target == honest) answer = now + 0.002;
      }
    }
    ASSERT_TRUE(took) << "round " << round;
    EXPECT_LT(*took, 0.1) << "round " << round;
  }
}

TEST_F(NeighborFlood, KnownNeighboursAndGatewaysStayAndAreProbed) {
  (void)table.resolve(honest_, at(0));
  (void)requests_of(table, at(0));
  ASSERT_TRUE(table.learn(honest_, kMac, at(0)));
  ASSERT_TRUE(table.learn(IpAddress::v4(10, 0, 0, 254), kOtherMac, at(0)));
  const NextHop hop = table.resolve(honest_, at(0)).value();
  const NextHop gateway = table.resolve(IpAddress::v4(192, 0, 2, 1), at(0)).value();
  std::size_t probes = 0;
  for (double now = 0; now < 65; now += 0.01) {
    (void)table.lookup(hop);
    for (int i = 0; i < 20; ++i) (void)table.resolve(absent(), at(now));
    for (const Solicitation& request : requests_of(table, at(now), 16)) {
      if (!request.to) continue;
      ++probes;
      EXPECT_TRUE(table.learn(request.target, *request.to, at(now)));
    }
    ASSERT_NE(table.lookup(hop), HopState::stale) << now;
    ASSERT_NE(table.lookup(gateway), HopState::stale) << now;
  }
  EXPECT_EQ(probes, 4U) << "both, every 30 s";
}

TEST_F(NeighborFlood, GatewaysAreSolicitedFromTheStartAndNeverExpire) {
  std::size_t asked = 0;
  for (int i = 0; i < 9000; ++i) asked += requests_of(table, at(i * 0.1)).size();
  EXPECT_NEAR(static_cast<double>(asked), 900 / 5.0, 4) << "every 5 s";
  ASSERT_EQ(table.report(at(900)).size(), 1U);
  EXPECT_TRUE(table.learn(IpAddress::v4(10, 0, 0, 254), kMac, at(900)));
  for (int i = 0; i < 20'000; ++i) {
    const Tsc now = at(900 + i * 0.1);
    for (const Solicitation& request : requests_of(table, now)) {
      EXPECT_TRUE(table.learn(request.target, kMac, now));
    }
  }
  EXPECT_TRUE(resolved(IpAddress::v4(10, 0, 0, 254), at(2900))) << "though no packet used it";
}

// By the hash of earlier versions these 300 addresses had one home, and 64 of them filled its
// window.
TEST_F(NeighborFlood, ChosenAddressesCannotFillOneWindow) {
  std::size_t made = 0;
  for (std::uint32_t i = 2; made < 300; ++i) {
    const IpAddress address = IpAddress::v4(Be32(0x0a000000U + i));
    const auto [first, second] = address.words();
    if ((first ^ second) * 0x9e37'79b9'7f4a'7c15 >> 54 != 500) continue;
    const Tsc now = at(static_cast<double>(made) * 0.01);
    const auto hop = table.resolve(address, now);
    ASSERT_TRUE(hop) << made;
    (void)requests_of(table, now);
    ASSERT_TRUE(table.learn(address, kMac, now)) << made;
    ++made;
  }
}

TEST_F(NeighborFlood, IdleNeighboursAreEvictedBeforeUsedOnes) {
  for (int i = 0; i < 1500; ++i) {
    const IpAddress address = absent();
    if (!table.resolve(address, at(0))) continue;
    (void)requests_of(table, at(0));
    (void)table.learn(address, kMac, at(0));
  }
  const std::size_t full = table.report(at(0)).size();
  EXPECT_GE(full, NeighborTable::kCapacity * 95 / 100);
  bool refused = false;
  for (int i = 0; i < 500 && !refused; ++i) refused = !table.resolve(absent(), at(1));
  EXPECT_TRUE(refused) << "all were used within a minute";
  for (int i = 0; i < 500; ++i) EXPECT_TRUE(table.resolve(absent(), at(61)));
}

}  // namespace
}  // namespace millrace::test

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/host/neighbor.h"

#include <algorithm>
#include <thread>

#include "tests/dataplane/host/neighbor_fixture.h"

namespace millrace::test {
namespace {

using Neighbors = NeighborFixture;

TEST_F(Neighbors, NextHopIsTheAddressOnLinkElseTheGateway) {
  NeighborTable routed({Prefix{kOurAddress, 24}}, {kGateway}, kHz);
  const auto gateway = requests_of(routed, at(0));
  ASSERT_EQ(gateway.size(), 1U) << "asked for before anyone needs it";
  EXPECT_EQ(gateway[0].target, kGateway);
  EXPECT_EQ(routed.resolve(IpAddress::v4(203, 0, 113, 5), at(0)),
            routed.resolve(IpAddress::v4(192, 0, 2, 5), at(0)));
  EXPECT_EQ(routed.resolve(kGateway, at(0)), routed.resolve(IpAddress::v4(192, 0, 2, 5), at(0)));
  EXPECT_NE(routed.resolve(kPeer, at(0)), routed.resolve(kGateway, at(0)));
  const auto asked = requests_of(routed, at(0.1));
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].target, kPeer);
  EXPECT_EQ(asked[0].sender, kOurAddress);
  EXPECT_FALSE(asked[0].to) << "broadcast";
}

TEST_F(Neighbors, NoGatewayMeansNoRoute) {
  const auto hop = table.resolve(IpAddress::v4(203, 0, 113, 5), at(0));
  ASSERT_FALSE(hop);
  EXPECT_EQ(hop.error(), ResolveError::no_route);
}

TEST_F(Neighbors, EachFamilyHasItsGateway) {
  const auto ip = [](const char* text) { return IpAddress::parse(text).value(); };
  const Prefix own6{ip("2001:db8::1"), 64};
  NeighborTable both({Prefix{kOurAddress, 24}, own6}, {kGateway, ip("fe80::1")}, kHz);
  const auto gateways = requests_of(both, at(0));
  ASSERT_EQ(gateways.size(), 2U);
  EXPECT_EQ(gateways[0].target, kGateway);
  EXPECT_EQ(gateways[1].target, ip("fe80::1"));
  EXPECT_EQ(gateways[1].sender, own6.address);
  EXPECT_EQ(both.resolve(ip("203.0.113.5"), at(0)), both.resolve(kGateway, at(0)));
  EXPECT_EQ(both.resolve(ip("2400::5"), at(0)), both.resolve(ip("fe80::1"), at(0)));
  ASSERT_TRUE(both.resolve(ip("198.18.0.9"), at(0)));
  EXPECT_EQ(requests_of(both, at(0.2)).at(0).target, ip("198.18.0.9"));
  ASSERT_TRUE(both.resolve(ip("2001:db8::9"), at(0.2)));
  const Solicitation neighbour = requests_of(both, at(0.3)).at(0);
  EXPECT_EQ(neighbour.target, ip("2001:db8::9"));
  EXPECT_EQ(neighbour.sender, own6.address);
  NeighborTable v4_only({Prefix{kOurAddress, 24}}, {kGateway}, kHz);
  EXPECT_EQ(v4_only.resolve(ip("2400::5"), at(0)).error(), ResolveError::no_route);
}

// RFC 4861 section 7.2.4: the answer to a unicast solicitation may leave its MAC address out.
TEST_F(Neighbors, ReplyWithoutMacConfirmsTheKnownMac) {
  const NextHop hop = resolve(kPeer, at(0));
  tick(at(0));
  EXPECT_FALSE(table.learn(kPeer, std::nullopt, at(0))) << "none is known";
  EXPECT_TRUE(table.learn(kPeer, kMac, at(0)));
  for (int i = 1; i < 400; ++i) {
    (void)table.lookup(hop);
    for (const Solicitation& probe : tick(at(i * 0.1))) {
      EXPECT_TRUE(probe.to) << "confirmed in time";
      EXPECT_TRUE(table.learn(kPeer, std::nullopt, at(i * 0.1)));
    }
  }
  EXPECT_TRUE(matches(hop));
  EXPECT_EQ(table.word(hop.index).mac(), kMac);
}

TEST(Groups, MatchNeighbourDiscovery) {
  const IpAddress group = solicited_node_group(IpAddress::parse("2001:db8::1:2345:6789").value());
  EXPECT_EQ(group.text(), "ff02::1:ff45:6789");
  EXPECT_EQ(group_mac(group).text(), "33:33:ff:45:67:89");
  EXPECT_EQ(group_mac(kAllNodes).text(), "33:33:00:00:00:01");
}

TEST_F(Neighbors, MatchesOnceTheReplyArrived) {
  const NextHop hop = resolve(kPeer, at(0));
  EXPECT_FALSE(matches(hop));
  EXPECT_EQ(table.lookup(hop), HopState::waiting);
  EXPECT_FALSE(matches(hop));
  tick(at(0));
  EXPECT_TRUE(table.learn(kPeer, kMac, at(0.001)));
  EXPECT_TRUE(matches(hop));
  EXPECT_EQ(table.word(hop.index).mac(), kMac);
  EXPECT_FALSE(table.word(hop.index).matches(NextHop{})) << "the default matches nothing";
}

TEST_F(Neighbors, NewEntryIsSolicitedImmediately) {
  tick(at(0));
  EXPECT_FALSE(table.due(at(0.05)));
  EXPECT_TRUE(table.due(at(0.1)));
  (void)resolve(kPeer, at(0.05));
  EXPECT_TRUE(table.due(at(0.05)));
}

// RFC 1122 section 2.3.2.1: at most one request a second for an address.
TEST_F(Neighbors, SolicitsThreeTimesQuicklyThenSlowly) {
  const NextHop hop = resolve(kPeer, at(0));
  std::vector<double> asked;
  for (int i = 0; i < 200; ++i) {
    (void)table.lookup(hop);  // a packet waits
    if (!tick(at(i * 0.1)).empty()) asked.push_back(i * 0.1);
  }
  ASSERT_GE(asked.size(), 5U);
  EXPECT_NEAR(asked[1] - asked[0], 1.0, 0.11);
  EXPECT_NEAR(asked[2] - asked[1], 1.0, 0.11);
  for (std::size_t i = 3; i < asked.size(); ++i) EXPECT_NEAR(asked[i] - asked[i - 1], 5.0, 0.11);
}

TEST_F(Neighbors, UnsolicitedRepliesChangeNothing) {
  EXPECT_FALSE(table.learn(kPeer, kMac, at(0))) << "unknown";
  const NextHop hop = resolve(kPeer, at(0));
  EXPECT_FALSE(table.learn(kPeer, kMac, at(0))) << "known, but not asked yet";
  tick(at(0));
  EXPECT_FALSE(table.learn(kPeer, MacAddress{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, at(0)));
  EXPECT_FALSE(table.learn(kPeer, MacAddress{}, at(0)));
  EXPECT_TRUE(table.learn(kPeer, kMac, at(0)));
  EXPECT_FALSE(table.learn(kPeer, kOtherMac, at(1))) << "a second reply";
  EXPECT_EQ(table.word(hop.index).mac(), kMac);
}

TEST_F(Neighbors, FloodOfRepliesAddsNoEntries) {
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    EXPECT_FALSE(table.learn(IpAddress::v4(Be32(0xc6120000 + i)), kMac, at(0)));
  }
  EXPECT_TRUE(table.report(at(0)).empty());
}

TEST_F(Neighbors, UsedEntriesAreProbedWithoutAGap) {
  const NextHop hop = make(kPeer, at(0));
  std::size_t probes = 0;
  for (int i = 1; i < 1200; ++i) {
    const Tsc now = at(i * 0.1);
    if (!matches(hop)) {
      EXPECT_EQ(table.lookup(hop), HopState::reachable);
    }
    EXPECT_TRUE(matches(hop)) << i * 0.1;
    for (const Solicitation& request : tick(now)) {
      EXPECT_EQ(request.target, kPeer);
      EXPECT_EQ(request.to, kMac) << "unicast";
      EXPECT_TRUE(table.learn(kPeer, kMac, now));
      ++probes;
    }
  }
  EXPECT_GE(probes, 3U);
  EXPECT_LE(probes, 4U) << "about every 30 s";
}

TEST_F(Neighbors, SilentNeighbourIsSolicitedByBroadcastAndMayMove) {
  const NextHop hop = make(kPeer, at(0));
  bool broadcast = false;
  for (int i = 1; i < 500 && !broadcast; ++i) {
    (void)table.lookup(hop);
    EXPECT_TRUE(matches(hop)) << "traffic goes on meanwhile";
    for (const Solicitation& request : tick(at(i * 0.1))) broadcast |= !request.to.has_value();
  }
  ASSERT_TRUE(broadcast);
  EXPECT_TRUE(table.learn(kPeer, kOtherMac, at(50)));
  EXPECT_TRUE(matches(hop));
  EXPECT_EQ(table.word(hop.index).mac(), kOtherMac);
}

TEST_F(Neighbors, UnusedEntriesExpireAndStaleHopsNoLongerMatch) {
  const NextHop old = make(kPeer, at(0));
  for (int i = 1; i < 7000; ++i) tick(at(i * 0.1));
  EXPECT_TRUE(table.report(at(700)).empty());
  EXPECT_FALSE(matches(old));
  EXPECT_EQ(table.lookup(old), HopState::stale);
  const NextHop again = make(kPeer, at(701));
  EXPECT_NE(again, old) << "another generation";
  EXPECT_FALSE(matches(old));
  EXPECT_TRUE(matches(again));
}

TEST_F(Neighbors, UnansweredEntriesExpireSooner) {
  (void)resolve(kPeer, at(0));
  std::size_t asked = 0;
  for (int i = 0; i < 700; ++i) asked += tick(at(i * 0.1)).size();
  EXPECT_GE(asked, 3U);
  EXPECT_TRUE(table.report(at(70)).empty());
}

TEST_F(Neighbors, TheTableIsBounded) {
  NeighborTable wide({Prefix{IpAddress::v4(10, 0, 0, 1), 8}}, {}, kHz);
  std::size_t made = 0;
  bool full = false;
  for (std::uint32_t i = 2; i < 5000; ++i) {
    const IpAddress address = IpAddress::v4(Be32(0x0a000000 + i));
    const auto hop = wide.resolve(address, at(0));
    if (hop) {
      (void)requests_of(wide, at(0));
      made += wide.learn(address, kMac, at(0));
    } else {
      EXPECT_EQ(hop.error(), ResolveError::table_full);
      full = true;
    }
  }
  EXPECT_TRUE(full);
  EXPECT_LE(made, NeighborTable::kCapacity);
  EXPECT_GE(made, NeighborTable::kCapacity * 9 / 10);
  EXPECT_EQ(wide.report(at(0)).size(), made);
}

TEST_F(Neighbors, AnnouncesItselfThreeTimes) {
  std::vector<double> times;
  for (int i = 0; i < 100; ++i) {
    std::array<Solicitation, 8> out;
    for (std::size_t k = table.tick(at(i * 0.1), out); k > 0; --k) {
      EXPECT_EQ(out[k - 1].sender, kOurAddress);
      EXPECT_EQ(out[k - 1].target, kOurAddress);
      times.push_back(i * 0.1);
    }
  }
  ASSERT_EQ(times.size(), 3U);
  EXPECT_GE(times[1] - times[0], 1.0);
  EXPECT_LE(times[2] - times[0], 4.0);
}

TEST_F(Neighbors, RequestsBeyondTheBufferFollowWithTheNextTick) {
  for (std::uint8_t i = 10; i < 60; ++i) (void)resolve(IpAddress::v4(198, 18, 0, i), at(0));
  std::vector<IpAddress> asked;
  for (int i = 0; i < 8; ++i) {
    std::array<Solicitation, 16> out;
    for (std::size_t k = table.tick(at(i * 0.1), out); k > 0; --k) {
      if (out[k - 1].target != kOurAddress) asked.push_back(out[k - 1].target);
    }
  }
  std::ranges::sort(asked);
  EXPECT_EQ(std::ranges::unique(asked).begin(), asked.end()) << "none twice within a second";
  EXPECT_EQ(asked.size(), 50U);
}

TEST_F(Neighbors, ReportsAgeAndUnresolvedEntries) {
  make(kPeer, at(0));
  (void)resolve(kGateway, at(0));
  auto report = table.report(at(12));
  ASSERT_EQ(report.size(), 2U);
  std::ranges::sort(report, {}, &NeighborReport::address);
  EXPECT_EQ(report[0].mac, kMac);
  EXPECT_EQ(std::chrono::duration_cast<std::chrono::seconds>(report[0].age).count(), 12);
  EXPECT_FALSE(report[1].mac);
}

TEST_F(Neighbors, WorkersAndControlAtOnce) {
  std::atomic<bool> stop{false};
  std::vector<std::jthread> threads;
  for (int w = 0; w < 2; ++w) {
    threads.emplace_back([&, w] {
      for (std::uint8_t i = 0; !stop; i = static_cast<std::uint8_t>(i + 1)) {
        const IpAddress to = IpAddress::v4(198, 18, 0, static_cast<std::uint8_t>(2 + i % 200));
        const auto hop = w == 0 ? table.resolve(to, at(0)) : table.try_resolve(to, at(0));
        if (hop && table.lookup(*hop) == HopState::reachable) {
          EXPECT_EQ(table.word(hop->index).mac(), kMac);
        }
      }
    });
  }
  for (int i = 0; i < 500; ++i) {
    for (const Solicitation& request : tick(at(i * 0.1))) {
      (void)table.learn(request.target, kMac, at(i * 0.1));
    }
  }
  stop = true;
  threads.clear();
  EXPECT_LE(table.report(at(60)).size(), 200U);
}

}  // namespace
}  // namespace millrace::test

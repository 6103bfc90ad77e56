// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/neighbor.h"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr std::uint64_t kHz = 1'000'000'000;
const IpAddress kOurAddresses = IpAddress::v4(198, 18, 0, 1);
const IpAddress kGateway = IpAddress::v4(198, 18, 0, 254);
const IpAddress kPeer = IpAddress::v4(198, 18, 0, 7);
constexpr MacAddress kMac{{2, 0, 0, 0, 0, 7}};
constexpr MacAddress kOtherMac{{2, 0, 0, 0, 0, 8}};

Tsc at(double seconds) { return Tsc{static_cast<std::uint64_t>((1000 + seconds) * kHz)}; }

struct Neighbors : testing::Test {
  NeighborTable table{{Prefix{kOurAddresses, 24}}, kGateway, kHz};

  // What is asked for at a moment; announcements apart.
  std::vector<ArpRequest> tick(Tsc now) {
    std::array<ArpRequest, 64> out;
    const std::size_t count = table.tick(now, out);
    std::vector<ArpRequest> requests(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count));
    std::erase_if(requests, [](const ArpRequest& r) { return r.sender == r.target; });
    return requests;
  }
  NextHop resolve(const IpAddress& to, Tsc now) { return table.resolve(to, now).value(); }
  bool matches(NextHop hop) { return table.word(hop.index).matches(hop); }
  NextHop make(const IpAddress& address, Tsc now) {
    const NextHop hop = resolve(address, now);
    tick(now);
    EXPECT_TRUE(table.learn(address, kMac, now));
    return hop;
  }
};

TEST_F(Neighbors, OnLinkIsItselfAndTheRestTheGateway) {
  (void)resolve(kPeer, at(0));
  const auto asked = tick(at(0));
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].target, kPeer);
  EXPECT_EQ(asked[0].sender, kOurAddresses);
  EXPECT_FALSE(asked[0].to) << "broadcast";
  EXPECT_EQ(resolve(IpAddress::v4(203, 0, 113, 5), at(0)),
            resolve(IpAddress::v4(192, 0, 2, 5), at(0)));
  const auto next = tick(at(0.1));
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].target, kGateway);
}

TEST_F(Neighbors, NoGatewayIsNoRoute) {
  NeighborTable island({Prefix{kOurAddresses, 24}}, std::nullopt, kHz);
  const auto hop = island.resolve(IpAddress::v4(203, 0, 113, 5), at(0));
  ASSERT_FALSE(hop);
  EXPECT_EQ(hop.error(), ResolveError::no_route);
}

TEST_F(Neighbors, MatchesFromTheReplyOn) {
  const NextHop hop = resolve(kPeer, at(0));
  EXPECT_FALSE(matches(hop));
  EXPECT_EQ(table.touch(hop), HopState::waiting);
  EXPECT_FALSE(matches(hop));
  tick(at(0));
  EXPECT_TRUE(table.learn(kPeer, kMac, at(0.001)));
  EXPECT_TRUE(matches(hop));
  EXPECT_EQ(table.word(hop.index).mac(), kMac);
  EXPECT_FALSE(table.word(hop.index).matches(NextHop{})) << "the default matches nothing";
}

TEST_F(Neighbors, ANewEntryIsDueAtOnce) {
  tick(at(0));
  EXPECT_FALSE(table.due(at(0.05)));
  EXPECT_TRUE(table.due(at(0.1)));
  (void)resolve(kPeer, at(0.05));
  EXPECT_TRUE(table.due(at(0.05)));
}

// RFC 1122 section 2.3.2.1: at most one request a second for an address.
TEST_F(Neighbors, AsksThreeTimesQuicklyThenSlowly) {
  const NextHop hop = resolve(kPeer, at(0));
  std::vector<double> asked;
  for (int i = 0; i < 200; ++i) {
    (void)table.touch(hop);  // a packet waits
    if (!tick(at(i * 0.1)).empty()) asked.push_back(i * 0.1);
  }
  ASSERT_GE(asked.size(), 5U);
  EXPECT_NEAR(asked[1] - asked[0], 1.0, 0.11);
  EXPECT_NEAR(asked[2] - asked[1], 1.0, 0.11);
  for (std::size_t i = 3; i < asked.size(); ++i) EXPECT_NEAR(asked[i] - asked[i - 1], 5.0, 0.11);
}

TEST_F(Neighbors, UnaskedRepliesChangeNothing) {
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

TEST_F(Neighbors, AFloodOfRepliesTakesNoRoom) {
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
      EXPECT_EQ(table.touch(hop), HopState::reachable);
    }
    EXPECT_TRUE(matches(hop)) << i * 0.1;
    for (const ArpRequest& request : tick(now)) {
      EXPECT_EQ(request.target, kPeer);
      EXPECT_EQ(request.to, kMac) << "unicast";
      EXPECT_TRUE(table.learn(kPeer, kMac, now));
      ++probes;
    }
  }
  EXPECT_GE(probes, 3U);
  EXPECT_LE(probes, 4U) << "about every 30 s";
}

TEST_F(Neighbors, ASilentNeighbourIsSearchedForByBroadcastAndMayMove) {
  const NextHop hop = make(kPeer, at(0));
  bool broadcast = false;
  for (int i = 1; i < 500 && !broadcast; ++i) {
    (void)table.touch(hop);
    EXPECT_TRUE(matches(hop)) << "traffic goes on meanwhile";
    for (const ArpRequest& request : tick(at(i * 0.1))) broadcast |= !request.to.has_value();
  }
  ASSERT_TRUE(broadcast);
  EXPECT_TRUE(table.learn(kPeer, kOtherMac, at(50)));
  EXPECT_TRUE(matches(hop));
  EXPECT_EQ(table.word(hop.index).mac(), kOtherMac);
}

TEST_F(Neighbors, UnusedEntriesLeaveAndTheirSlotsSeeIt) {
  const NextHop old = make(kPeer, at(0));
  for (int i = 1; i < 7000; ++i) tick(at(i * 0.1));
  EXPECT_TRUE(table.report(at(700)).empty());
  EXPECT_FALSE(matches(old));
  EXPECT_EQ(table.touch(old), HopState::stale);
  const NextHop again = make(kPeer, at(701));
  EXPECT_NE(again, old) << "another generation";
  EXPECT_FALSE(matches(old));
  EXPECT_TRUE(matches(again));
}

TEST_F(Neighbors, UnansweredEntriesLeaveSooner) {
  (void)resolve(kPeer, at(0));
  std::size_t asked = 0;
  for (int i = 0; i < 700; ++i) asked += tick(at(i * 0.1)).size();
  EXPECT_GE(asked, 3U);
  EXPECT_TRUE(table.report(at(70)).empty());
}

TEST_F(Neighbors, TheTableIsBounded) {
  NeighborTable wide({Prefix{IpAddress::v4(10, 0, 0, 1), 8}}, std::nullopt, kHz);
  std::size_t made = 0;
  bool full = false;
  for (std::uint32_t i = 2; i < 5000; ++i) {
    const auto hop = wide.resolve(IpAddress::v4(Be32(0x0a000000 + i)), at(0));
    made += hop.has_value();
    if (!hop) {
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
    std::array<ArpRequest, 8> out;
    for (std::size_t k = table.tick(at(i * 0.1), out); k > 0; --k) {
      EXPECT_EQ(out[k - 1].sender, kOurAddresses);
      EXPECT_EQ(out[k - 1].target, kOurAddresses);
      times.push_back(i * 0.1);
    }
  }
  ASSERT_EQ(times.size(), 3U);
  EXPECT_GE(times[1] - times[0], 1.0);
  EXPECT_LE(times[2] - times[0], 4.0);
}

TEST_F(Neighbors, RequestsBeyondTheRoomComeWithTheNextTick) {
  for (std::uint8_t i = 10; i < 60; ++i) (void)resolve(IpAddress::v4(198, 18, 0, i), at(0));
  std::vector<IpAddress> asked;
  for (int i = 0; i < 8; ++i) {
    std::array<ArpRequest, 16> out;
    for (std::size_t k = table.tick(at(i * 0.1), out); k > 0; --k) {
      if (out[k - 1].target != kOurAddresses) asked.push_back(out[k - 1].target);
    }
  }
  std::ranges::sort(asked);
  EXPECT_EQ(std::ranges::unique(asked).begin(), asked.end()) << "none twice within a second";
  EXPECT_EQ(asked.size(), 50U);
}

TEST_F(Neighbors, ReportsAgeAndWhatIsUnresolved) {
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
        if (hop && table.touch(*hop) == HopState::reachable) {
          EXPECT_EQ(table.word(hop->index).mac(), kMac);
        }
      }
    });
  }
  for (int i = 0; i < 500; ++i) {
    for (const ArpRequest& request : tick(at(i * 0.1))) {
      (void)table.learn(request.target, kMac, at(i * 0.1));
    }
  }
  stop = true;
  threads.clear();
  EXPECT_LE(table.report(at(60)).size(), 200U);
}

}  // namespace
}  // namespace millrace

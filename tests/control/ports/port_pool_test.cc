// SPDX-License-Identifier: BSD-3-Clause
#include "control/ports/port_pool.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr PortPool::Clock::time_point kStart{1000h};

// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): a range
Interface interface(std::uint16_t low, std::uint16_t high, std::uint8_t addresses = 1) {
  Interface result;
  for (std::uint8_t i = 0; i < addresses; ++i) {
    result.addresses.push_back(IpAddress::v4(198, 18, 0, static_cast<std::uint8_t>(i + 1)));
    result.ids.push_back(MediaAddressId{static_cast<std::uint16_t>(7 + i)});
  }
  result.port_min = UdpPort(low);
  result.port_max = UdpPort(high);
  return result;
}

std::vector<PortPair> take_all(PortPool& pool, PortPool::Clock::time_point now) {
  std::vector<PortPair> pairs;
  while (const PortPair pair = pool.take(now)) pairs.push_back(pair);
  return pairs;
}

// The port of a pair that is returned at once.
std::uint16_t draw(PortPool& pool) {
  const PortPair pair = pool.take(kStart);
  pool.give_back(pair);
  return pair.rtp().port.number();
}

void give_back(PortPool& pool, const std::vector<PortPair>& pairs) {
  for (const PortPair& pair : pairs) pool.give_back(pair);
}

std::pair<std::uint16_t, std::uint16_t> key(const PortPair& pair) {
  return {std::to_underlying(pair.rtp().address), pair.rtp().port.number()};
}

TEST(PortPool, HandsOutEveryPairOfEveryAddressOnce) {
  PortPool pool(interface(30000, 30099, 3), 60s);
  EXPECT_EQ(pool.free(), 300U);
  const auto pairs = take_all(pool, kStart);
  ASSERT_EQ(pairs.size(), 150U);
  std::set<std::pair<std::uint16_t, std::uint16_t>> seen;
  for (const PortPair& pair : pairs) {
    EXPECT_EQ(pair.rtp().port.number() % 2, 0);
    EXPECT_EQ(pair.rtcp().port.number(), pair.rtp().port.number() + 1);
    EXPECT_EQ(pair.rtcp().address, pair.rtp().address);
    EXPECT_GE(pair.rtp().port.number(), 30000);
    EXPECT_LE(pair.rtcp().port.number(), 30099);
    EXPECT_TRUE(seen.insert(key(pair)).second);
  }
  EXPECT_EQ(pool.used(), 300U);
  EXPECT_EQ(pool.free(), 0U);
  EXPECT_FALSE(pool.take(kStart));
}

TEST(PortPool, HandsOutTheRequestedAddress) {
  PortPool pool(interface(30000, 30099, 3), 60s);
  const IpAddress second = IpAddress::v4(198, 18, 0, 2);
  std::vector<PortPair> pairs;
  while (const PortPair pair = pool.take(kStart, second)) pairs.push_back(pair);
  ASSERT_EQ(pairs.size(), 50U);
  for (const PortPair& pair : pairs) EXPECT_EQ(pair.rtp().address, MediaAddressId{8});
  EXPECT_EQ(pool.free(), 200U);
  EXPECT_FALSE(pool.take(kStart, IpAddress::v4(198, 18, 0, 9)));
  const auto others = take_all(pool, kStart);
  EXPECT_EQ(others.size(), 100U);
  give_back(pool, pairs);
  pool.advance(kStart);
  EXPECT_FALSE(pool.take(kStart + 59s, second));
  EXPECT_TRUE(pool.take(kStart + 60s, second));
}

TEST(PortPool, OddStartAndEvenEndLoseTheHalfPairs) {
  PortPool pool(interface(30001, 30006), 60s);
  const auto pairs = take_all(pool, kStart);
  ASSERT_EQ(pairs.size(), 2U);
  const auto [low, high] = std::minmax({pairs[0].rtp().port, pairs[1].rtp().port});
  EXPECT_EQ(low.number(), 30002);
  EXPECT_EQ(high.number(), 30004);
}

TEST(PortPool, SmallestAndLargestRanges) {
  PortPool one(interface(30000, 30001), 60s);
  EXPECT_EQ(take_all(one, kStart).size(), 1U);
  PortPool none(interface(30001, 30002), 60s);
  EXPECT_FALSE(none.take(kStart));
  PortPool single(interface(30000, 30000), 60s);
  EXPECT_FALSE(single.take(kStart));
  PortPool all(interface(0, 65535), 60s);
  const auto pairs = take_all(all, kStart);
  EXPECT_EQ(pairs.size(), 32767U);  // port 0 is no port
  for (const PortPair& pair : pairs) ASSERT_NE(pair.rtp().port.number(), 0);
}

TEST(PortPool, ReleasedPairRestsForTheWholeQuarantine) {
  PortPool pool(interface(30000, 30001), 60s);
  const PortPair pair = pool.take(kStart);
  ASSERT_TRUE(pair);
  pool.advance(kStart + 500s);
  pool.give_back(pair);
  EXPECT_EQ(pool.used(), 0U);
  EXPECT_EQ(pool.free(), 0U);
  EXPECT_FALSE(pool.take(kStart + 501s));
  EXPECT_FALSE(pool.take(kStart + 501s + 59999ms));
  EXPECT_TRUE(pool.take(kStart + 561s));
}

TEST(PortPool, AdvanceFreesRestedPairs) {
  PortPool pool(interface(30000, 30009), 60s);
  give_back(pool, take_all(pool, kStart));
  pool.advance(kStart + 1s);
  EXPECT_EQ(pool.free(), 0U);
  pool.advance(kStart + 60s);
  EXPECT_EQ(pool.free(), 0U);
  pool.advance(kStart + 61s);
  EXPECT_EQ(pool.free(), 10U);
}

TEST(PortPool, PairIsFreeImmediatelyWithoutQuarantine) {
  PortPool pool(interface(30000, 30001), 0s);
  for (int i = 0; i < 100; ++i) {
    const PortPair pair = pool.take(kStart);
    ASSERT_TRUE(pair) << i;
    pool.give_back(pair);
  }
}

TEST(PortPool, TellsWhichPortsAreTaken) {
  PortPool pool(interface(30001, 30006, 2), 0s);
  const IpAddress first = IpAddress::v4(198, 18, 0, 1), second = IpAddress::v4(198, 18, 0, 2);
  const auto taken = [&](const IpAddress& address) {
    std::set<int> ports;
    for (int port = 0; port <= 65535; ++port) {
      if (pool.is_taken(address, UdpPort(static_cast<std::uint16_t>(port)))) ports.insert(port);
    }
    return ports;
  };
  const auto pairs = take_all(pool, kStart);
  for (const IpAddress& address : {first, second}) {
    EXPECT_EQ(taken(address), (std::set<int>{30002, 30003, 30004, 30005}));
  }
  give_back(pool, pairs);
  EXPECT_EQ(taken(first), std::set<int>{});
  const auto one = pool.take(kStart, second);
  ASSERT_TRUE(one);
  const int port = one.rtp().port.number();
  EXPECT_EQ(taken(first), std::set<int>{});
  EXPECT_EQ(taken(second), (std::set<int>{port, port + 1}));
  EXPECT_EQ(taken(IpAddress::v4(198, 18, 0, 3)), std::set<int>{});
}

TEST(PortPool, AReturnedPairIsTheOneThatWasTaken) {
  PortPool pool(interface(30000, 30003, 2), 0s);
  const auto pairs = take_all(pool, kStart);
  ASSERT_EQ(pairs.size(), 4U);
  for (const PortPair& pair : pairs) {
    pool.give_back(pair);
    EXPECT_EQ(pool.used(), 6U);
    EXPECT_EQ(pool.take(kStart), pair);
  }
}

// Chi-square over 500 bins, 100,000 draws: mean 499, standard deviation 31.6. A fair generator
// leaves the bounds, six deviations away, less than once in a million runs.
TEST(PortPool, DrawsAreUniform) {
  PortPool pool(interface(30000, 30999), 0s);
  std::map<std::uint16_t, double> counts;
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) ++counts[draw(pool)];
  const double mean = kDraws / 500.0;
  double chi_square = (500.0 - static_cast<double>(counts.size())) * mean;
  for (const auto& [port, count] : counts) chi_square += (count - mean) * (count - mean) / mean;
  EXPECT_GT(chi_square, 499 - 6 * 31.6);
  EXPECT_LT(chi_square, 499 + 6 * 31.6);
}

// The distance from one port to the next is uniform as well.
TEST(PortPool, NextDrawIsIndependentOfTheLast) {
  PortPool pool(interface(30000, 30127), 0s);
  std::array<double, 64> counts{};
  constexpr int kDraws = 64'000;
  int last = draw(pool);
  for (int i = 0; i < kDraws; ++i) {
    const int port = draw(pool);
    ++counts[static_cast<std::size_t>((port - last + 128) % 128 / 2)];
    last = port;
  }
  double chi_square = 0;
  for (const double count : counts) chi_square += (count - 1000) * (count - 1000) / 1000;
  EXPECT_LT(chi_square, 63 + 6 * 11.3);
}

TEST(PortPool, NoPairIsReusedWithinItsQuarantine) {
  PortPool pool(interface(30000, 30039), 60s);
  std::map<std::pair<std::uint16_t, std::uint16_t>, PortPool::Clock::time_point> released;
  std::vector<PortPair> held;
  std::mt19937 dice(1);
  int refused = 0, reused = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto now = kStart + step * 1s;
    pool.advance(now);
    if (dice() % 2 == 0) {
      if (const PortPair pair = pool.take(now)) {
        if (const auto found = released.find(key(pair)); found != released.end()) {
          EXPECT_GE(now - found->second, 60s);
          ++reused;
        }
        held.push_back(pair);
      } else {
        ++refused;
      }
    } else if (!held.empty()) {
      std::swap(held[dice() % held.size()], held.back());
      released[key(held.back())] = now;
      pool.give_back(held.back());
      held.pop_back();
    }
    ASSERT_EQ(pool.used(), 2 * held.size());
    ASSERT_LE(pool.used() + pool.free(), 40U);
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(reused, 1000);
}

TEST(PortPool, FourThreadsNeverHoldTheSamePair) {
  PortPool pool(interface(30000, 30199, 2), 0s);
  std::mutex mutex;
  std::set<std::pair<std::uint16_t, std::uint16_t>> out;
  const auto churn = [&](unsigned seed) {
    std::mt19937 dice(seed);
    std::vector<PortPair> held;
    for (int i = 0; i < 20'000; ++i) {
      if (held.size() < 60 && dice() % 2 == 0) {
        if (const PortPair pair = pool.take(kStart)) {
          {
            const std::lock_guard lock(mutex);
            ASSERT_TRUE(out.insert(key(pair)).second);
          }
          held.push_back(pair);
        }
      } else if (!held.empty()) {
        {
          const std::lock_guard lock(mutex);
          out.erase(key(held.back()));
        }
        pool.give_back(held.back());
        held.pop_back();
      }
    }
    const std::lock_guard lock(mutex);
    for (const PortPair& pair : held) out.erase(key(pair));
    give_back(pool, held);
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned seed = 0; seed < 4; ++seed) threads.emplace_back(churn, seed);
  }
  EXPECT_EQ(pool.used(), 0U);
  pool.advance(kStart);
  EXPECT_EQ(pool.free(), 400U);
}

}  // namespace
}  // namespace millrace

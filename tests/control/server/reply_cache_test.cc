// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/reply_cache.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using State = ReplyCache::State;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr ReplyCache::Clock::time_point kStart{seconds(1000)};
const Endpoint kPeer{IpAddress::v4(127, 0, 0, 1), UdpPort(40'000)};
const Endpoint kOtherPort{IpAddress::v4(127, 0, 0, 1), UdpPort(40'001)};
const Endpoint kOtherHost{IpAddress::v4(127, 0, 0, 2), UdpPort(40'000)};

TEST(ReplyCache, ClaimIsFreshThenPendingThenReplied) {
  ReplyCache cache;
  EXPECT_EQ(cache.claim(kPeer, "c1", kStart).state, State::fresh);
  EXPECT_EQ(cache.claim(kPeer, "c1", kStart).state, State::pending);
  cache.store(kPeer, "c1", kStart, "c1 d6:result4:ponge");
  const auto again = cache.claim(kPeer, "c1", kStart + seconds(1));
  EXPECT_EQ(again.state, State::replied);
  EXPECT_EQ(again.reply, "c1 d6:result4:ponge");
  EXPECT_EQ(cache.entries(), 1U);
}

TEST(ReplyCache, KeyIsPeerAndCookie) {
  ReplyCache cache;
  cache.store(kPeer, "c1", kStart, "one");
  EXPECT_EQ(cache.claim(kOtherPort, "c1", kStart).state, State::fresh);
  EXPECT_EQ(cache.claim(kOtherHost, "c1", kStart).state, State::fresh);
  EXPECT_EQ(cache.claim(kPeer, "c2", kStart).state, State::fresh);
  EXPECT_EQ(cache.claim(kPeer, "c", kStart).state, State::fresh);
  EXPECT_EQ(cache.claim(kPeer, "c1", kStart).reply, "one");
}

TEST(ReplyCache, RepliesExpireAfterAMinute) {
  ReplyCache cache;
  ASSERT_EQ(cache.claim(kPeer, "c1", kStart).state, State::fresh);
  cache.store(kPeer, "c1", kStart + seconds(5), "one");
  const auto end = kStart + seconds(5) + ReplyCache::kLife;
  EXPECT_EQ(cache.claim(kPeer, "c1", end - milliseconds(1)).state, State::replied);
  EXPECT_EQ(cache.claim(kPeer, "c1", end).state, State::fresh);
}

TEST(ReplyCache, UnansweredClaimExpires) {
  ReplyCache cache;
  ASSERT_EQ(cache.claim(kPeer, "c1", kStart).state, State::fresh);
  EXPECT_EQ(cache.claim(kPeer, "c1", kStart + ReplyCache::kLife).state, State::fresh);
  EXPECT_EQ(cache.entries(), 1U);
}

TEST(ReplyCache, AbandonedClaimIsFreshAgain) {
  ReplyCache cache;
  ASSERT_EQ(cache.claim(kPeer, "c1", kStart).state, State::fresh);
  cache.forget(kOtherPort, "c1");
  EXPECT_EQ(cache.claim(kPeer, "c1", kStart).state, State::pending);
  cache.forget(kPeer, "c1");
  EXPECT_EQ(cache.entries(), 0U);
  EXPECT_EQ(cache.bytes(), 0U);
  EXPECT_EQ(cache.claim(kPeer, "c1", kStart).state, State::fresh);
}

TEST(ReplyCache, CountIsBoundedOldestFirst) {
  ReplyCache cache({.entries = 3, .bytes = 1 << 20});
  for (const char* cookie : {"a", "b", "c", "d"}) cache.store(kPeer, cookie, kStart, cookie);
  EXPECT_EQ(cache.entries(), 3U);
  EXPECT_EQ(cache.claim(kPeer, "b", kStart).state, State::replied);
  EXPECT_EQ(cache.claim(kPeer, "a", kStart).state, State::fresh);  // evicts b
  EXPECT_EQ(cache.claim(kPeer, "c", kStart).state, State::replied);
  EXPECT_EQ(cache.claim(kPeer, "b", kStart).state, State::fresh);
}

TEST(ReplyCache, BytesAreBounded) {
  constexpr std::size_t kMost = 10'000;
  ReplyCache cache({.entries = 1000, .bytes = kMost});
  for (int i = 0; i < 100; ++i) {
    cache.store(kPeer, std::to_string(i), kStart, std::string(1000, 'x'));
    EXPECT_LE(cache.bytes(), kMost);
  }
  EXPECT_EQ(cache.claim(kPeer, "99", kStart).state, State::replied);
  EXPECT_EQ(cache.claim(kPeer, "0", kStart).state, State::fresh);
  cache.store(kPeer, "large", kStart, std::string(kMost, 'x'));
  EXPECT_EQ(cache.claim(kPeer, "large", kStart).state, State::fresh);
  EXPECT_EQ(cache.claim(kPeer, "99", kStart).state, State::replied);
}

TEST(ReplyCache, ByteCountReturnsToZero) {
  ReplyCache cache;
  for (int i = 0; i < 100; ++i) {
    cache.store(kPeer, std::to_string(i % 10), kStart,
                std::string(static_cast<std::size_t>(i), 'x'));
  }
  EXPECT_EQ(cache.entries(), 10U);
  const auto later = kStart + ReplyCache::kLife;
  EXPECT_EQ(cache.claim(kPeer, "new", later).state, State::fresh);
  EXPECT_EQ(cache.entries(), 1U);
  EXPECT_EQ(cache.claim(kPeer, "newer", later + ReplyCache::kLife).state, State::fresh);
  ReplyCache same;
  EXPECT_EQ(same.claim(kPeer, "newer", later).state, State::fresh);
  EXPECT_EQ(cache.bytes(), same.bytes());
}

TEST(ReplyCache, FindsTheLatestWhileOthersExpire) {
  constexpr int kEntries = 1500, kRequests = 20'000;
  ReplyCache cache({.entries = kEntries, .bytes = 1 << 20});
  const std::string small = "xxx", large(1 << 20, 'x');
  for (int i = 0; i < kRequests; ++i) {
    const std::string cookie = std::to_string(i * 7919);
    ASSERT_EQ(cache.claim(kPeer, cookie, kStart).state, State::fresh);
    // Some get no reply, or one that is too long to keep.
    if (i % 5 != 0) cache.store(kPeer, cookie, kStart, i % 7 == 0 ? large : small);
    const int back = i - (i * 31) % kEntries;
    if (back < 0) continue;
    const std::string earlier = std::to_string(back * 7919);
    if (back % 5 == 0) {
      ASSERT_EQ(cache.claim(kPeer, earlier, kStart).state, State::pending) << back << " of " << i;
    } else if (back % 7 != 0) {
      ASSERT_EQ(cache.claim(kPeer, earlier, kStart).state, State::replied) << back << " of " << i;
    }
  }
  static_assert((kRequests - 1) % 7 == 0, "the last one was not kept");
  EXPECT_EQ(cache.entries(), static_cast<std::size_t>(kEntries - 1));
  ReplyCache empty;
  const auto later = kStart + ReplyCache::kLife;
  EXPECT_EQ(cache.claim(kPeer, "last", later).state, State::fresh);
  EXPECT_EQ(empty.claim(kPeer, "last", later).state, State::fresh);
  EXPECT_EQ(cache.bytes(), empty.bytes());
}

TEST(ReplyCache, EachRequestIsClaimedByOneThread) {
  ReplyCache cache;
  constexpr int kRequests = 2000;
  std::atomic<int> fresh = 0;
  std::atomic<int> wrong = 0;
  const auto serve = [&] {
    for (int i = 0; i < kRequests; ++i) {
      const std::string cookie = std::to_string(i);
      const auto lookup = cache.claim(kPeer, cookie, kStart);
      if (lookup.state == State::replied && lookup.reply != cookie) ++wrong;
      if (lookup.state != State::fresh) continue;
      ++fresh;
      cache.store(kPeer, cookie, kStart, cookie);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(serve);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fresh, kRequests);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A next-hop cache of 198.18.0.0/24 on simulated time.

#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "dataplane/host/neighbor.h"

namespace millrace::test {

inline constexpr std::uint64_t kHz = 1'000'000'000;
inline const IpAddress kOurAddress = IpAddress::v4(198, 18, 0, 1);
inline const IpAddress kGateway = IpAddress::v4(198, 18, 0, 254);
inline const IpAddress kPeer = IpAddress::v4(198, 18, 0, 7);
inline constexpr MacAddress kMac{{2, 0, 0, 0, 0, 7}};
inline constexpr MacAddress kOtherMac{{2, 0, 0, 0, 0, 8}};

inline Tsc at(double seconds) { return Tsc{static_cast<std::uint64_t>((1000 + seconds) * kHz)}; }

// The requests due at a moment, without announcements.
inline std::vector<Solicitation> requests_of(NeighborTable& table, Tsc now, std::size_t room = 64) {
  std::vector<Solicitation> out(room);
  out.resize(table.tick(now, out));
  std::erase_if(out, [](const Solicitation& r) { return r.sender == r.target; });
  return out;
}

struct NeighborFixture : testing::Test {
  NeighborTable table{{Prefix{kOurAddress, 24}}, {}, kHz};

  std::vector<Solicitation> tick(Tsc now) { return requests_of(table, now); }
  NextHop resolve(const IpAddress& to, Tsc now) { return table.resolve(to, now).value(); }
  bool matches(NextHop hop) const { return table.word(hop.index).matches(hop); }
  NextHop make(const IpAddress& address, Tsc now) {
    const NextHop hop = resolve(address, now);
    tick(now);
    EXPECT_TRUE(table.learn(address, kMac, now));
    return hop;
  }
};

}  // namespace millrace::test

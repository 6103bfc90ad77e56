// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/peer_filter.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace millrace {
namespace {

IpAddress ip(const char* text) { return IpAddress::parse(text).value(); }
Prefix prefix(const char* text) { return Prefix::parse(text).value(); }

Link link(std::vector<Prefix> addresses, PeerPolicy policy = {}) {
  return {0,  MacAddress{},  std::move(addresses), MediaAddressId{0},
          {}, 1'000'000'000, std::move(policy)};
}

std::optional<DropReason> verdict(Link& own, const char* address) {
  Link* const links[] = {&own};
  return PeerFilter(own, links).refuses(ip(address));
}

TEST(PeerFilter, AllowsAllUsableAddressesWithoutPolicy) {
  Link own = link({prefix("198.18.0.1/24"), prefix("2001:db8:a::1/64")});
  for (const char* good : {"198.18.0.2", "192.0.2.1", "10.0.0.1", "2001:db8:a::2", "2400::1"}) {
    EXPECT_FALSE(verdict(own, good)) << good;
  }
  for (const char* bad : {"198.18.0.1", "198.18.0.0", "198.18.0.255", "127.0.0.1", "224.0.0.1",
                          "0.0.0.0", "2001:db8:a::1", "2001:db8:a::", "::1", "fe80::1",
                          "64:ff9b::198.18.0.1", "2002:c612:1::1"}) {
    EXPECT_EQ(verdict(own, bad), DropReason::source_invalid) << bad;
  }
}

TEST(PeerFilter, DenyOverridesAllow) {
  Link own =
      link({prefix("203.0.113.1/24")},
           {.allow = {prefix("192.0.2.0/24"), prefix("198.51.100.7/32"), prefix("2400::/12")},
            .deny = {prefix("192.0.0.0/16"), prefix("198.51.100.7/31")}});
  EXPECT_EQ(verdict(own, "192.0.2.1"), DropReason::peer_denied) << "a shorter prefix denies";
  EXPECT_EQ(verdict(own, "198.51.100.7"), DropReason::peer_denied) << "and a longer one would";
  EXPECT_EQ(verdict(own, "203.0.113.9"), DropReason::peer_denied) << "not listed";
  EXPECT_FALSE(verdict(own, "2400::192.0.2.1"));
  EXPECT_EQ(verdict(own, "2410::1"), DropReason::peer_denied);
}

TEST(PeerFilter, RefusesAddressesOfOtherInterfaces) {
  Link own = link({prefix("198.18.0.1/24")}), other = link({prefix("203.0.113.1/24")});
  Link* const links[] = {&own, &other};
  EXPECT_EQ(PeerFilter(own, links).refuses(ip("203.0.113.1")), DropReason::source_invalid);
  EXPECT_FALSE(PeerFilter(own, links).refuses(ip("203.0.113.0"))) << "of another network";
}

// Reference implementation: scans the entries one by one.
std::optional<DropReason> spelled_out(const Link& link, const IpAddress& address) {
  const std::optional<IpAddress> inside = address.embedded_v4();
  const auto bars = [&](const IpAddress& which) {
    const auto is_own = [&](const Prefix& own) { return own.address == which; };
    const auto reserves = [&](const Prefix& network) { return network.reserves(which); };
    return std::ranges::any_of(link.addresses, is_own) ||
           std::ranges::any_of(link.networks, reserves);
  };
  if (!address.is_sendable() || bars(address) || (inside && bars(*inside))) {
    return DropReason::source_invalid;
  }
  if (!link.peers.admits(address)) return DropReason::peer_denied;
  return std::nullopt;
}

TEST(PeerFilter, AgreesWithALinearScan) {
  std::mt19937 random(12);
  const auto below = [&](unsigned count) { return static_cast<std::uint8_t>(random() % count); };
  // Few values a byte, so that prefixes nest and addresses hit them.
  const auto any_address = [&] {
    if (below(2) == 0) {
      return IpAddress::v4(static_cast<std::uint8_t>(192 + below(2)), below(2), below(3), below(4));
    }
    std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
    if (below(3) == 0) bytes = {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192};
    for (std::size_t at = 13; at < 16; ++at) bytes[at] = below(3);
    return IpAddress::v6(bytes);
  };
  const auto any_prefixes = [&](unsigned most) {
    std::vector<Prefix> prefixes(below(most));
    for (Prefix& each : prefixes) {
      each.address = any_address();
      each.length = static_cast<std::uint8_t>(each.address.is_v4() ? below(33) : below(129));
    }
    return prefixes;
  };
  std::array<std::size_t, 3> verdicts{};
  for (int round = 0; round < 2'000; ++round) {
    Link own = link(any_prefixes(4), {.allow = any_prefixes(6), .deny = any_prefixes(6)});
    Link* const links[] = {&own};
    const PeerFilter filter(own, links);
    for (int i = 0; i < 20; ++i) {
      const IpAddress address = any_address();
      const auto expected = spelled_out(own, address);
      ASSERT_EQ(filter.refuses(address), expected) << address.text();
      ++verdicts[!expected ? 0 : *expected == DropReason::source_invalid ? 1 : 2];
    }
  }
  EXPECT_GT(std::ranges::min(verdicts), 1'000U) << "every verdict is tried";
}

}  // namespace
}  // namespace millrace

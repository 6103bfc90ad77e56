// SPDX-License-Identifier: BSD-3-Clause
// Neighbour discovery and ICMPv6 as a host on the link sees them.

#include "dataplane/host/host.h"
#include "dataplane/stats.h"
#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

constexpr std::uint8_t kSolicit = 135;
constexpr std::uint8_t kAdvertise = 136;
const IpAddress kUnspecified;
const IpAddress kGroupOfA = solicited_node_group(kLocalA6.address);

// A solicits `target` by its solicited-node group.
Bytes solicitation(const IpAddress& target, const IpAddress& from = kPartyA6.address,
                   std::uint8_t hops = 255) {
  const IpAddress group = solicited_node_group(target);
  const Bytes options = from.is_unspecified() ? Bytes{} : option(1, kMacA);
  return ethernet(group_mac(group), kMacA, 0x86dd,
                  icmp6(from, group, discovery(kSolicit, 0, target, options), hops));
}

Bytes advertisement(const IpAddress& of, const Bytes& options, std::uint8_t flags = 0x60,
                    const IpAddress& to = kLocalA6.address) {
  return ethernet(kMac0, kMacA, 0x86dd, icmp6(of, to, discovery(kAdvertise, flags, of, options)));
}

Bytes echo(const IpAddress& from, const IpAddress& to, std::size_t payload = 32,
           // NOLINTNEXTLINE(bugprone-easily-swappable-parameters): type, then hop limit
           std::uint8_t type = 128, std::uint8_t hops = 64) {
  Bytes message(8 + payload, std::byte{0x61});
  message[0] = std::byte{type};
  message[1] = std::byte{0};
  return icmp6(from, to, message, hops);
}
Bytes ping(const IpAddress& from, const IpAddress& to, std::size_t payload = 32) {
  return ethernet(kMac0, kMacA, 0x86dd, echo(from, to, payload));
}

TEST(HostNd, AnswersForItsOwnAddresses) {
  PacketLab lab;
  const Bytes expected =
      ethernet(kMacA, kMac0, 0x86dd,
               icmp6(kLocalA6.address, kPartyA6.address,
                     discovery(kAdvertise, 0x60, kLocalA6.address, option(2, kMac0))));
  const auto reply = lab.receive(0, solicitation(kLocalA6.address));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->link, 0U);
  EXPECT_EQ(reply->frame, expected);
  // A unicast probe may omit the MAC option; the reply goes to the frame's source.
  const auto probe = lab.receive(0, ethernet(kMac0, kMacA, 0x86dd,
                                             icmp6(kPartyA6.address, kLocalA6.address,
                                                   discovery(kSolicit, 0, kLocalA6.address, {}))));
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->frame, expected);
  EXPECT_TRUE(lab.receive(0, solicitation(kLocalA6.address, v6("fe80::fe")))) << "the router asks";
  EXPECT_EQ(lab.dropped(), 0U);
}

TEST(HostNd, DefendsItsAddress) {
  PacketLab lab;
  const auto reply = lab.receive(0, solicitation(kLocalA6.address, kUnspecified));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->frame,
            ethernet(group_mac(kAllNodes), kMac0, 0x86dd,
                     icmp6(kLocalA6.address, kAllNodes,
                           discovery(kAdvertise, 0x20, kLocalA6.address, option(2, kMac0)))));
}

TEST(HostNd, IsSilentForOthers) {
  PacketLab lab;
  EXPECT_FALSE(lab.receive(0, solicitation(v6("2001:db8:a::99"))));
  EXPECT_FALSE(lab.receive(0, solicitation(kLocalB6.address))) << "an address of another link";
  EXPECT_EQ(lab.dropped(DropReason::nd_not_for_us), 2U);
  EXPECT_FALSE(lab.receive(0, solicitation(kLocalA6.address, kLocalA6.address)));
  EXPECT_EQ(lab.dropped(DropReason::nd_unsolicited), 1U) << "its own address as the asker's";
}

TEST(HostNd, MalformedMessagesAreRefused) {
  PacketLab lab;
  const auto refused = [&](const Bytes& packet, DropReason reason) {
    const std::uint64_t before = lab.dropped(reason);
    const auto sent = lab.receive(0, ethernet(group_mac(kGroupOfA), kMacA, 0x86dd, packet));
    return !sent && lab.dropped(reason) == before + 1;
  };
  const IpAddress& a = kPartyA6.address;
  const IpAddress& own = kLocalA6.address;
  for (const int hops : {0, 1, 64, 254}) {
    EXPECT_TRUE(refused(icmp6(a, kGroupOfA, discovery(kSolicit, 0, own, option(1, kMacA)),
                              static_cast<std::uint8_t>(hops)),
                        DropReason::nd_malformed))
        << "from beyond the link";
  }
  Bytes corrupt = icmp6(a, kGroupOfA, discovery(kSolicit, 0, own, option(1, kMacA)));
  corrupt.back() ^= std::byte{1};
  EXPECT_TRUE(refused(corrupt, DropReason::icmp_malformed));
  Bytes code = discovery(kSolicit, 0, own, {});
  code[1] = std::byte{1};
  EXPECT_TRUE(refused(icmp6(a, kGroupOfA, code), DropReason::nd_malformed));
  EXPECT_TRUE(refused(icmp6(a, kGroupOfA, discovery(kSolicit, 0, kGroupOfA, {})),
                      DropReason::nd_malformed));
  EXPECT_TRUE(refused(icmp6(kAllNodes, kGroupOfA, discovery(kSolicit, 0, own, {})),
                      DropReason::nd_malformed));
  EXPECT_TRUE(
      refused(icmp6(kUnspecified, own, discovery(kSolicit, 0, own, {})), DropReason::nd_malformed))
      << "duplicate address detection asks the group";
  EXPECT_TRUE(refused(icmp6(kUnspecified, kGroupOfA, discovery(kSolicit, 0, own, option(1, kMacA))),
                      DropReason::nd_malformed));
  for (const Bytes& options : {test::bytes_of({1, 0, 0, 0, 0, 0, 0, 0}), test::bytes_of({1}),
                               test::bytes_of({1, 2, 0, 0, 0, 0, 0, 0})}) {
    EXPECT_TRUE(refused(icmp6(a, kGroupOfA, discovery(kSolicit, 0, own, options)),
                        DropReason::nd_malformed));
  }
  const MacAddress group{{0x33, 0x33, 0, 0, 0, 1}};
  EXPECT_TRUE(refused(icmp6(a, kGroupOfA, discovery(kSolicit, 0, own, option(1, group))),
                      DropReason::nd_malformed));
  const Bytes whole = discovery(kSolicit, 0, own, option(1, kMacA));
  for (std::size_t n = 8; n < 24; ++n) {
    const Bytes prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_TRUE(refused(icmp6(a, kGroupOfA, prefix), DropReason::nd_malformed)) << n;
  }
}

TEST(HostNd, ResolvesANextHopAndThenForwards) {
  PacketLab lab;
  Path path = path_ab(Family::ipv6, Family::ipv4);
  const Endpoint far{v6("2400:cafe::9"), UdpPort(4444)};  // behind A's router
  path.a.remote = far;
  path.a.hints = {far.address};
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(lab.from_b(rtp({})));
  EXPECT_EQ(lab.dropped(DropReason::neighbor_unresolved), 1U);
  const IpAddress group = solicited_node_group(kRouterA6);
  const Bytes question =
      ethernet(group_mac(group), kMac0, 0x86dd,
               icmp6(kLocalA6.address, group, discovery(kSolicit, 0, kRouterA6, option(1, kMac0))));
  bool asked = false;
  for (const Sent& sent : lab.housekeep(after_ms(1000))) {
    asked = asked || (sent.link == 0 && sent.frame == question);
  }
  EXPECT_TRUE(asked);
  EXPECT_FALSE(lab.receive(0, advertisement(kRouterA6, {}, 0xe0))) << "a MAC is missing";
  EXPECT_FALSE(lab.receive(0, advertisement(kRouterA6, option(2, kMacGateway), 0xa0)));
  EXPECT_EQ(lab.dropped(DropReason::nd_unsolicited), 2U);
  EXPECT_FALSE(lab.receive(0, advertisement(kRouterA6, option(2, kMacGateway), 0xe0, kAllNodes)));
  EXPECT_EQ(lab.dropped(DropReason::nd_malformed), 1U) << "solicited, and to all";
  EXPECT_FALSE(lab.receive(0, advertisement(kRouterA6, option(2, kMacGateway), 0xe0)));
  EXPECT_EQ(lab.dropped(DropReason::nd_consumed), 1U);
  const auto out = lab.from_b(rtp({.sequence = 2}), after_ms(1001));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->frame[5], std::byte{0xfe});
  EXPECT_EQ(destination_of(out->frame), far);
}

TEST(HostNd, UnsolicitedAdvertisementsChangeNothing) {
  PacketLab lab;
  EXPECT_FALSE(lab.receive(0, advertisement(kPartyA6.address, option(2, kMacGateway))));
  EXPECT_FALSE(lab.receive(0, advertisement(kLocalA6.address, option(2, kMacGateway))));
  EXPECT_EQ(lab.dropped(DropReason::nd_unsolicited), 2U);
  lab.flows.publish(path_ab(Family::ipv6, Family::ipv6), kStart);
  EXPECT_EQ(lab.from_b(rtp({}), kStart, kPartyB6)->frame[5], std::byte{0x0a}) << "A's MAC is kept";
}

// Advertisements to all nodes, solicitations: a probe of the known MAC, then of everyone.
TEST(HostNd, ClaimOfAnotherMacIsProbed) {
  const IpAddress& a = kPartyA6.address;
  const auto from_b = [](const IpAddress& to, const Bytes& packet) {
    return ethernet(to == kLocalA6.address ? kMac0 : group_mac(to), kMacB, 0x86dd, packet);
  };
  const Bytes unsolicited =
      from_b(kAllNodes, icmp6(a, kAllNodes, discovery(kAdvertise, 0x20, a, option(2, kMacB))));
  const Bytes question = from_b(
      kGroupOfA, icmp6(a, kGroupOfA, discovery(kSolicit, 0, kLocalA6.address, option(1, kMacB))));
  const Bytes answer =
      from_b(kLocalA6.address,
             icmp6(a, kLocalA6.address, discovery(kAdvertise, 0x60, a, option(2, kMacB))));
  const Bytes message = discovery(kSolicit, 0, a, option(1, kMac0));
  const IpAddress group = solicited_node_group(a);
  for (const Bytes& claim : {unsolicited, question, answer}) {
    PacketLab lab;
    (void)lab.housekeep(after_ms(1000));  // announcements and gateways
    (void)lab.receive(0, claim, after_ms(1100));
    const auto probe = lab.housekeep(after_ms(1100));
    ASSERT_EQ(probe.size(), 1U);
    EXPECT_EQ(probe[0].frame, ethernet(kMacA, kMac0, 0x86dd, icmp6(kLocalA6.address, a, message)));
    const auto search = lab.housekeep(after_ms(1400));
    ASSERT_EQ(search.size(), 1U);
    EXPECT_EQ(search[0].frame,
              ethernet(group_mac(group), kMac0, 0x86dd, icmp6(kLocalA6.address, group, message)));
    EXPECT_FALSE(lab.receive(0, answer, after_ms(1401)));
    lab.flows.publish(path_ab(Family::ipv6, Family::ipv6), after_ms(1402));
    EXPECT_EQ(lab.from_b(rtp({}), after_ms(1402), kPartyB6)->frame[5], std::byte{0x0b})
        << "it has moved";
  }
}

TEST(HostNd, AnnouncesItsAddresses) {
  PacketLab lab;
  const Bytes announcement =
      ethernet(group_mac(kAllNodes), kMac1, 0x86dd,
               icmp6(kLocalB6.address, kAllNodes,
                     discovery(kAdvertise, 0x20, kLocalB6.address, option(2, kMac1))));
  int times = 0;  // the first round was the bench's own, when it introduced the parties
  for (std::uint64_t ms = 0; ms < 10'000; ms += 100) {
    for (const Sent& sent : lab.housekeep(after_ms(ms))) {
      if (sent.link == 1 && sent.frame == announcement) ++times;
    }
  }
  EXPECT_EQ(times, 2);
}

TEST(HostIcmp6, EchoesWithRightChecksums) {
  for (const std::size_t size : {0U, 1U, 56U, 57U, 1400U}) {
    PacketLab lab;
    const IpAddress& a = kPartyA6.address;
    Bytes request = ping(a, kLocalA6.address, size);
    request.resize(request.size() + 3);
    const auto reply = lab.receive(0, request);
    ASSERT_TRUE(reply) << size;
    EXPECT_EQ(reply->frame, ethernet(kMacA, kMac0, 0x86dd, echo(kLocalA6.address, a, size, 129)));
  }
}

TEST(HostIcmp6, OtherMessagesDropUnderTheirReason) {
  PacketLab lab;
  const IpAddress& a = kPartyA6.address;
  EXPECT_FALSE(lab.receive(0, ping(a, kLocalB6.address)));
  EXPECT_FALSE(lab.receive(0, ping(a, kAllNodes)));
  EXPECT_EQ(lab.dropped(DropReason::not_local), 2U);
  for (const char* from : {"::1", "ff02::1", "::", "2001:db8:a::1"}) {
    EXPECT_FALSE(lab.receive(0, ping(v6(from), kLocalA6.address))) << from;
  }
  EXPECT_EQ(lab.dropped(DropReason::source_invalid), 4U);
  EXPECT_TRUE(lab.receive(0, ping(v6("fe80::10"), kLocalA6.address)));
  // Unreachable, too big, router solicitation and advertisement, redirect, listener report.
  const auto types = {1, 2, 129, 133, 134, 137, 143};
  for (const int type : types) {
    EXPECT_FALSE(lab.receive(
        0, ethernet(kMac0, kMacA, 0x86dd,
                    echo(a, kLocalA6.address, 32, static_cast<std::uint8_t>(type), 255))));
  }
  EXPECT_EQ(lab.dropped(DropReason::icmp_unsupported), types.size());
}

TEST(HostIcmp6, RepliesShareTheRateLimitOfIpv4) {
  PacketLab lab;
  int replies = 0;
  for (int i = 0; i < 300; ++i) {
    replies += lab.receive(0, ping(kPartyA6.address, kLocalA6.address)).has_value();
  }
  EXPECT_EQ(replies, static_cast<int>(Host::kEchoRepliesPerSecond));
}

}  // namespace
}  // namespace millrace::test

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/host/host.h"

#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

Bytes echo(std::size_t payload, std::uint8_t type = 8) {
  Bytes out(8 + payload, std::byte{0x61});
  out[0] = static_cast<std::byte>(type);
  out[1] = out[2] = out[3] = std::byte{0};
  const std::uint16_t sum = checksum(out);
  std::memcpy(out.data() + 2, &sum, 2);
  return out;
}

Bytes ping(const Bytes& message, const IpAddress& from = kPartyA.address,
           const IpAddress& to = kLocalA.address) {
  return ethernet(kMac0, kMacA, 0x0800, ipv4(from, to, 1, message));
}

TEST(HostArp, AnswersForItsOwnAddresses) {
  PacketLab lab;
  Bytes request = ethernet(kBroadcast, kMacA, 0x0806,
                           arp(1, kMacA, kPartyA.address, MacAddress{}, kLocalA.address));
  request.resize(60);  // as Ethernet pads it
  const auto reply = lab.receive(0, request);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->link, 0U);
  EXPECT_EQ(reply->frame,
            ethernet(kMacA, kMac0, 0x0806, arp(2, kMac0, kLocalA.address, kMacA, kPartyA.address)));
}

TEST(HostArp, AnswersProbesForItsAddress) {
  PacketLab lab;
  const IpAddress unspecified = IpAddress::v4(0, 0, 0, 0);
  EXPECT_TRUE(lab.receive(0, ethernet(kBroadcast, kMacA, 0x0806,
                                      arp(1, kMacA, unspecified, MacAddress{}, kLocalA.address))));
}

TEST(HostArp, IsSilentForOthers) {
  PacketLab lab;
  const auto ask = [&](std::size_t link, const IpAddress& target) {
    const MacAddress& mac = link == 0 ? kMacA : kMacB;
    return lab.receive(link, ethernet(kBroadcast, mac, 0x0806,
                                      arp(1, mac, kPartyA.address, MacAddress{}, target)));
  };
  EXPECT_FALSE(ask(0, IpAddress::v4(198, 18, 0, 99)));
  EXPECT_FALSE(ask(1, kLocalA.address)) << "an address of another link";
  EXPECT_EQ(lab.dropped(DropReason::arp_not_for_us), 2U);
}

TEST(HostArp, ConflictsAndUnsolicitedRepliesAreCounted) {
  PacketLab lab;
  EXPECT_FALSE(
      lab.receive(0, ethernet(kBroadcast, kMacA, 0x0806,
                              arp(1, kMacA, kLocalA.address, MacAddress{}, kLocalA.address))));
  EXPECT_FALSE(lab.receive(
      0, ethernet(kMac0, kMacB, 0x0806, arp(2, kMacB, kPartyA.address, kMac0, kLocalA.address))));
  EXPECT_EQ(lab.dropped(DropReason::arp_unsolicited), 2U);
  lab.flows.publish(path_ab(), kStart);
  EXPECT_EQ(lab.from_b(rtp({}))->frame[5], std::byte{0x0a}) << "A's MAC is as it was";
}

TEST(HostArp, MalformedIsRefusedAtEveryLength) {
  PacketLab lab;
  const Bytes whole =
      ethernet(kMac0, kMacA, 0x0806, arp(1, kMacA, kPartyA.address, MacAddress{}, kLocalA.address));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(lab.receive(0, std::span(whole).first(n))) << n;
  }
  EXPECT_EQ(lab.dropped(DropReason::frame_truncated), whole.size());
  for (const std::size_t at : {14U, 16U, 18U, 19U, 20U}) {
    Bytes wrong = whole;
    wrong[at] ^= std::byte{0x40};
    EXPECT_FALSE(lab.receive(0, wrong)) << at;
  }
  Bytes multicast = whole;
  multicast[22] |= std::byte{1};
  EXPECT_FALSE(lab.receive(0, multicast));
  EXPECT_EQ(lab.dropped(DropReason::arp_malformed), 6U);
}

TEST(HostArp, ResolvesANextHopAndThenForwards) {
  PacketLab lab;
  Path path = path_ab();
  const Endpoint far{IpAddress::v4(192, 0, 2, 9), UdpPort(4444)};  // behind A's gateway
  path.a.remote = far;
  path.a.hints = {far.address};
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(lab.from_b(rtp({})));
  EXPECT_EQ(lab.dropped(DropReason::neighbor_unresolved), 1U);

  const IpAddress gateway = IpAddress::v4(198, 18, 0, 254);
  bool asked = false;
  for (const Sent& sent : lab.housekeep(after_ms(1000))) {
    if (sent.frame == ethernet(kBroadcast, kMac0, 0x0806,
                               arp(1, kMac0, kLocalA.address, MacAddress{}, gateway))) {
      EXPECT_EQ(sent.link, 0U);
      asked = true;
    }
  }
  EXPECT_TRUE(asked);
  EXPECT_FALSE(lab.receive(
      0, ethernet(kMac0, kMacGateway, 0x0806, arp(2, kMacGateway, gateway, kMac0, kLocalA.address)),
      after_ms(1001)));
  EXPECT_EQ(lab.dropped(DropReason::arp_consumed), 1U);
  const auto out = lab.from_b(rtp({.sequence = 2}), after_ms(1002));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->frame[5], std::byte{0xfe});
  EXPECT_EQ(destination_of(out->frame), far);
}

// Requests in which A's address has another MAC: a probe of the known one, then of everyone.
TEST(HostArp, ClaimOfAnotherMacIsProbed) {
  const Bytes gratuitous = ethernet(kBroadcast, kMacB, 0x0806,
                                    arp(1, kMacB, kPartyA.address, MacAddress{}, kPartyA.address));
  const Bytes question = ethernet(kBroadcast, kMacB, 0x0806,
                                  arp(1, kMacB, kPartyA.address, MacAddress{}, kLocalA.address));
  const Bytes reply =
      ethernet(kMac0, kMacB, 0x0806, arp(2, kMacB, kPartyA.address, kMac0, kLocalA.address));
  for (const Bytes& claim : {gratuitous, question, reply}) {
    PacketLab lab;
    (void)lab.housekeep(after_ms(1000));  // announcements and gateways
    (void)lab.receive(0, claim, after_ms(1100));
    const auto probe = lab.housekeep(after_ms(1100));
    ASSERT_EQ(probe.size(), 1U);
    EXPECT_EQ(probe[0].frame,
              ethernet(kMacA, kMac0, 0x0806,
                       arp(1, kMac0, kLocalA.address, MacAddress{}, kPartyA.address)));
    const auto search = lab.housekeep(after_ms(1400));
    ASSERT_EQ(search.size(), 1U);
    EXPECT_EQ(search[0].frame,
              ethernet(kBroadcast, kMac0, 0x0806,
                       arp(1, kMac0, kLocalA.address, MacAddress{}, kPartyA.address)));
    EXPECT_FALSE(lab.receive(0, reply, after_ms(1401)));
    lab.flows.publish(path_ab(), after_ms(1402));
    EXPECT_EQ(lab.from_b(rtp({}), after_ms(1402))->frame[5], std::byte{0x0b}) << "it has moved";
  }
}

TEST(HostArp, NoRouteHasItsDropReason) {
  PacketLab lab;
  Path path = path_ab();
  path.b.remote = Endpoint{IpAddress::v4(192, 0, 2, 9), UdpPort(4444)};  // link 1 has no gateway
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(lab.from_a(rtp({})));
  EXPECT_EQ(lab.dropped(DropReason::no_route), 1U);
}

TEST(HostArp, MovedNeighbourLeavesNoStaleMac) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  ASSERT_TRUE(lab.from_a(rtp({})));
  // Unused for eleven minutes, B's entry goes; the next packet asks again and does not use it.
  for (std::uint64_t s = 1; s <= 660; ++s) lab.housekeep(after_ms(s * 1000));
  EXPECT_FALSE(lab.from_a(rtp({.sequence = 2}), after_ms(661'000)));
  EXPECT_EQ(lab.dropped(DropReason::neighbor_unresolved), 1U);
  lab.housekeep(after_ms(661'001));
  ASSERT_TRUE(lab.link(1).neighbors.learn(kPartyB.address, kMacGateway, after_ms(661'002)));
  const auto out = lab.from_a(rtp({.sequence = 3}), after_ms(661'003));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->frame[5], std::byte{0xfe});
}

TEST(HostArp, AnnouncesAndCountsMissingMbufs) {
  PacketLab lab;
  std::vector<rte_mbuf*> all;
  while (rte_mbuf* m = rte_pktmbuf_alloc(&Buffers::pool())) all.push_back(m);
  ASSERT_TRUE(lab.link(0).neighbors.resolve(IpAddress::v4(198, 18, 0, 88), after_ms(1)));
  EXPECT_TRUE(lab.housekeep(after_ms(10)).empty());
  EXPECT_GE(lab.dropped(DropReason::no_buffer), 1U);
  rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
}

TEST(HostIcmp, EchoesWithRightChecksums) {
  for (const std::size_t size : {0U, 1U, 56U, 57U, 1400U}) {
    PacketLab lab;
    Bytes request = ping(echo(size));
    const Bytes unpadded = request;
    if (request.size() < 60) request.resize(60);
    const auto reply = lab.receive(0, request);
    ASSERT_TRUE(reply) << size;
    EXPECT_EQ(reply->frame.size(), unpadded.size());
    const std::span<const std::byte> ip(reply->frame.data() + 14, 20);
    EXPECT_TRUE(ipv4_checksum_ok(ip.data()));
    EXPECT_EQ(ones_sum(std::span(reply->frame).subspan(34)), 0xffff) << size;
    EXPECT_EQ(Bytes(reply->frame.begin() + 34, reply->frame.end()), echo(size, 0)) << size;
    EXPECT_EQ(Bytes(reply->frame.begin(), reply->frame.begin() + 14),
              ethernet(kMacA, kMac0, 0x0800, {}));
    EXPECT_EQ(reply->frame[22], std::byte{64});
    EXPECT_EQ(get16(reply->frame, 26) << 16 | get16(reply->frame, 28), 0xc6120001) << "from us";
  }
}

TEST(HostIcmp, OtherMessagesDropUnderTheirReason) {
  PacketLab lab;
  Bytes corrupt = ping(echo(20));
  corrupt[50] ^= std::byte{1};
  EXPECT_FALSE(lab.receive(0, corrupt));
  EXPECT_EQ(lab.dropped(DropReason::icmp_malformed), 1U);
  EXPECT_FALSE(lab.receive(0, ping(echo(20, 3))));
  EXPECT_FALSE(lab.receive(0, ping(echo(20, 0))));
  EXPECT_EQ(lab.dropped(DropReason::icmp_unsupported), 2U);
  EXPECT_FALSE(lab.receive(0, ping(echo(20), kPartyA.address, kLocalB.address)));
  EXPECT_EQ(lab.dropped(DropReason::not_local), 1U);
  for (const IpAddress& from : {IpAddress::v4(255, 255, 255, 255), IpAddress::v4(127, 0, 0, 1),
                                IpAddress::v4(224, 0, 0, 1), kLocalA.address}) {
    EXPECT_FALSE(lab.receive(0, ping(echo(20), from)));
  }
  EXPECT_EQ(lab.dropped(DropReason::source_invalid), 4U);
}

TEST(HostIcmp, RepliesAreRateLimited) {
  PacketLab lab;
  const auto burst = [&](Tsc now, int count) {
    int replies = 0;
    for (int i = 0; i < count; ++i) replies += lab.receive(0, ping(echo(20)), now).has_value();
    return replies;
  };
  EXPECT_EQ(burst(kStart, 300), static_cast<int>(Host::kEchoRepliesPerSecond));
  EXPECT_EQ(lab.dropped(DropReason::icmp_rate_limited), 300 - Host::kEchoRepliesPerSecond);
  EXPECT_EQ(burst(after_ms(100), 300), 10);
  EXPECT_EQ(burst(after_ms(105), 300), 0) << "half a token is none";
  EXPECT_EQ(burst(after_ms(110), 300), 1);
  EXPECT_EQ(burst(after_ms(60'000), 300), static_cast<int>(Host::kEchoRepliesPerSecond));
}

}  // namespace
}  // namespace millrace::test

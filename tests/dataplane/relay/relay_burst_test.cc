// SPDX-License-Identifier: BSD-3-Clause
// Mixed bursts: each packet has the same result as alone, in order.
#include "dataplane/relay/relay.h"
#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

TEST(RelayBurst, MixedBurstKeepsOrderAndCountsEverything) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  std::vector<rte_mbuf*> rx;
  std::uint64_t bytes = 0;
  for (std::uint16_t i = 0; i < Relay::kBurst; ++i) {
    Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({.sequence = i})));
    if (i % 4 == 1) frame[0] = std::byte{0x04};  // not ours
    if (i % 4 == 2) put16(frame, 36, 1);         // no flow there, no checksum
    if (i % 4 == 3) frame.resize(30);
    bytes += frame.size();
    rx.push_back(PacketLab::packet(frame));
  }
  const std::vector<Sent> sent = lab.burst(0, rx, kStart);
  ASSERT_EQ(sent.size(), 8U);
  for (std::size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(get16(sent[i].frame, 44), 4 * i);
  EXPECT_EQ(lab.stats.rx_packets.value(), 32U);
  EXPECT_EQ(lab.stats.rx_bytes.value(), bytes);
  EXPECT_EQ(lab.stats.relayed.value(), 8U);
  EXPECT_EQ(lab.dropped(DropReason::wrong_mac), 8U);
  EXPECT_EQ(lab.dropped(DropReason::port_inactive), 8U);
  EXPECT_EQ(lab.dropped(DropReason::frame_truncated), 8U);
}

TEST(RelayBurst, FamiliesMixInOneBurst) {
  PacketLab lab;
  Path first = path_ab(Family::ipv4, Family::ipv6);
  Path second = path_ab(Family::ipv6, Family::ipv4);
  first.b.local.port = UdpPort(31000);
  second.b.local.port = UdpPort(31000);
  lab.flows.publish(first, kStart);
  lab.flows.publish(second, kStart);
  std::vector<rte_mbuf*> rx;
  for (std::uint16_t i = 0; i < Relay::kBurst; ++i) {
    const Bytes payload = rtp({.sequence = i});
    rx.push_back(PacketLab::packet(
        i % 2 == 0 ? ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, payload))
                   : ethernet(kMac0, kMacA, 0x86dd, udp(kPartyA6, kLocalA6, payload))));
  }
  const std::vector<Sent> sent = lab.burst(0, rx, kStart);
  ASSERT_EQ(sent.size(), Relay::kBurst);
  for (std::size_t i = 0; i < sent.size(); ++i) {
    const bool from_v4 = i < Relay::kBurst / 2;  // each family keeps its order
    EXPECT_EQ(get16(sent[i].frame, 12), from_v4 ? 0x86dd : 0x0800);
    EXPECT_EQ(get16(sent[i].frame, from_v4 ? 64 : 44), from_v4 ? 2 * i : 2 * i - 31) << i;
  }
  EXPECT_EQ(lab.stats.relayed.value(), Relay::kBurst);
}

TEST(RelayBurst, PaddedPacketsKeepTheirOrder) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  std::vector<rte_mbuf*> packets;
  for (std::uint16_t i = 0; i < 6; ++i) {
    Bytes frame =
        ethernet(kMac0, kMacA, 0x0800,
                 udp(kPartyA, kLocalA, rtp({.sequence = i, .payload = i % 2 == 0 ? 160U : 4U})));
    if (frame.size() < 60) frame.resize(60);
    packets.push_back(PacketLab::packet(frame));
  }
  const auto sent = lab.burst(0, packets, kStart);
  ASSERT_EQ(sent.size(), 6U);
  for (std::uint16_t i = 0; i < 6; ++i) {
    EXPECT_EQ(get16(sent[i].frame, 44), i);
    EXPECT_EQ(sent[i].frame.size(), i % 2 == 0 ? 214U : 58U);
  }
}

TEST(RelayBurst, EmptyBurstSendsNothing) {
  PacketLab lab;
  EXPECT_TRUE(lab.burst(0, {}, kStart).empty());
  EXPECT_EQ(lab.stats.rx_packets.value(), 0U);
}

// A packet of party A with further segments behind its frame, which by itself is complete.
rte_mbuf* chained(Family family, std::uint16_t sequence, std::size_t segments) {
  const bool v4 = family == Family::ipv4;
  const Bytes payload = rtp({.sequence = sequence});
  rte_mbuf* const head =
      PacketLab::packet(v4 ? ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, payload))
                           : ethernet(kMac0, kMacA, 0x86dd, udp(kPartyA6, kLocalA6, payload)));
  for (std::size_t i = 1; i < segments; ++i) {
    EXPECT_EQ(rte_pktmbuf_chain(head, PacketLab::packet(Bytes(10))), 0);
  }
  return head;
}

TEST(RelayBurst, MultiSegmentPacketsDropUnderTheirReason) {
  for (const Family family : {Family::ipv4, Family::ipv6}) {
    PacketLab lab;
    lab.flows.publish(path_ab(family, Family::ipv4), kStart);
    for (const std::size_t segments : {2U, 3U, 4U}) {
      EXPECT_TRUE(lab.burst(0, {chained(family, 1, segments)}, kStart).empty()) << segments;
    }
    EXPECT_EQ(lab.dropped(DropReason::multi_segment), 3U);
    EXPECT_EQ(lab.dropped(), 3U);
    EXPECT_EQ(lab.stats.relayed.value(), 0U);
  }
}

TEST(RelayBurst, MultiSegmentPacketsDropAnywhereInABurst) {
  for (const Family family : {Family::ipv4, Family::ipv6}) {
    for (std::size_t place = 0; place < Relay::kBurst; ++place) {
      PacketLab lab;
      lab.flows.publish(path_ab(family, Family::ipv4), kStart);
      std::vector<rte_mbuf*> rx;
      std::uint64_t bytes = 0;
      for (std::size_t i = 0; i < Relay::kBurst; ++i) {
        rx.push_back(chained(family, static_cast<std::uint16_t>(i), i == place ? 3 : 1));
        bytes += rx.back()->pkt_len;
      }
      const std::vector<Sent> sent = lab.burst(0, rx, kStart);
      ASSERT_EQ(sent.size(), Relay::kBurst - 1);
      for (std::size_t i = 0; i < sent.size(); ++i) {
        EXPECT_EQ(get16(sent[i].frame, 44), i < place ? i : i + 1) << place;
      }
      EXPECT_EQ(lab.dropped(DropReason::multi_segment), 1U);
      EXPECT_EQ(lab.stats.relayed.value(), Relay::kBurst - 1);
      EXPECT_EQ(lab.stats.rx_packets.value(), Relay::kBurst);
      EXPECT_EQ(lab.stats.rx_bytes.value(), bytes);
    }
  }
}

// In one mbuf, the bytes of the second segment would be Ethernet padding.
TEST(RelayBurst, ShortMultiSegmentPacketDropsUnderItsReason) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({.payload = 1})));
  ASSERT_LT(frame.size(), 60U);
  frame.resize(60);
  ASSERT_TRUE(lab.receive(0, frame));
  rte_mbuf* const head = PacketLab::packet(frame);
  ASSERT_EQ(rte_pktmbuf_chain(head, PacketLab::packet(Bytes(4))), 0);
  EXPECT_TRUE(lab.burst(0, {head}, kStart).empty());
  EXPECT_EQ(lab.dropped(DropReason::multi_segment), 1U);
}

}  // namespace
}  // namespace millrace::test

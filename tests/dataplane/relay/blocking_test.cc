// SPDX-License-Identifier: BSD-3-Clause
// Blocked and silenced media, blocked DTMF, and the drop counters of each flow.

#include "dataplane/relay/blocking.h"

#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kUdpPayload = 14 + 20 + 8;

std::uint32_t flow_drops(const FlowReport& flow, DropReason reason) {
  return flow.drops.at(std::to_underlying(reason) - kFirstFlowReason);
}

struct BlockingTest : testing::Test {
  PacketLab lab;
  Path path = path_ab();

  void publish() { lab.flows.publish(path, kStart); }
  FlowReport a() { return lab.flows.read(kPortA, kStart); }
};

TEST_F(BlockingTest, BlockedMediaIsDroppedOneWay) {
  path.a.rtcp_mux = path.b.rtcp_mux = true;
  publish();
  ASSERT_TRUE(lab.from_a(rtp({})));
  path.a.blocking = Blocking::drop;
  publish();
  EXPECT_FALSE(lab.from_a(rtp({.sequence = 2})));
  EXPECT_TRUE(lab.from_a(rtcp(1))) << "RTCP keeps the call alive";
  EXPECT_TRUE(lab.from_a(stun()));
  EXPECT_TRUE(lab.from_b(rtp({})));
  EXPECT_EQ(lab.dropped(DropReason::media_blocked), 1U);
  EXPECT_EQ(flow_drops(a(), DropReason::media_blocked), 1U);
  EXPECT_EQ(a().packets, 4U) << "admitted, and no loss of the sender's";
  EXPECT_EQ(a().forwarded, 3U);
  path.a.blocking = Blocking::none;
  publish();
  EXPECT_TRUE(lab.from_a(rtp({.sequence = 3})));
  EXPECT_EQ(a().lost, 0);
}

TEST_F(BlockingTest, BlockedOpaqueMedia) {
  path.payload = Payload::opaque;
  path.a.blocking = Blocking::drop;
  publish();
  EXPECT_FALSE(lab.from_a(bytes_of({1, 2, 3})));
  EXPECT_EQ(lab.dropped(DropReason::media_blocked), 1U);
}

TEST_F(BlockingTest, OnlyTheGivenPayloadTypesAreDropped) {
  path.a.event_types.set(101).set(13);
  path.a.drop_events = true;
  publish();
  for (int type = 0; type < 128; ++type) {
    const bool dropped = type == 101 || type == 13;
    const auto sent = lab.from_a(rtp({.payload_type = static_cast<std::uint8_t>(type)}));
    EXPECT_EQ(sent.has_value(), !dropped) << type;
  }
  EXPECT_EQ(flow_drops(a(), DropReason::dtmf_blocked), 2U);
}

TEST_F(BlockingTest, SilenceReplacesG711Only) {
  path.a.blocking = Blocking::silence;
  publish();
  for (const auto& [type, code] : {std::pair{0, 0xff}, std::pair{8, 0xd5}}) {
    for (std::size_t size = 0; size < 6; ++size) {
      const Bytes in = rtp({.payload_type = static_cast<std::uint8_t>(type), .payload = size});
      const auto sent = lab.from_a(in);
      ASSERT_TRUE(sent) << size;
      const Bytes out(sent->frame.begin() + kUdpPayload, sent->frame.end());
      ASSERT_EQ(out.size(), in.size());
      EXPECT_TRUE(std::equal(in.begin(), in.begin() + 12, out.begin())) << "the header stays";
      EXPECT_TRUE(std::all_of(out.begin() + 12, out.end(),
                              [&](std::byte b) { return b == static_cast<std::byte>(code); }));
      EXPECT_EQ(udp_checksum(Bytes(sent->frame.begin() + 14, sent->frame.end())), 0U) << size;
    }
  }
  EXPECT_FALSE(lab.from_a(rtp({.payload_type = 9})));
  EXPECT_EQ(lab.dropped(DropReason::media_blocked), 1U);
}

TEST_F(BlockingTest, SilenceKeepsExtensionAndPadding) {
  path.a.blocking = Blocking::silence;
  publish();
  Bytes in = rtp({.payload = 4 + 8 + 4 + 6 + 3});  // a CSRC, an extension, samples, padding
  in[0] = std::byte{0x80 | 0x20 | 0x10 | 1};
  put16(in, 12 + 4 + 2, 2 - 1);
  in.back() = std::byte{3};
  const auto sent = lab.from_a(in);
  ASSERT_TRUE(sent);
  Bytes expected = in;
  std::fill(expected.begin() + 12 + 4 + 8, expected.end() - 3, std::byte{0xff});
  EXPECT_EQ(Bytes(sent->frame.begin() + kUdpPayload, sent->frame.end()), expected);
  EXPECT_EQ(udp_checksum(Bytes(sent->frame.begin() + 14, sent->frame.end())), 0U);
}

TEST_F(BlockingTest, CiphertextCannotBeSilenced) {
  path.encrypted = true;
  path.a.blocking = Blocking::silence;
  publish();
  EXPECT_FALSE(lab.from_a(rtp({})));
  EXPECT_EQ(lab.dropped(DropReason::media_blocked), 1U);
}

TEST_F(BlockingTest, FlowReportsDropsByReasonAndTheRefusedSource) {
  publish();
  const Endpoint attacker{IpAddress::v4(198, 18, 0, 66), UdpPort(6666)};
  EXPECT_FALSE(a().stranger);
  EXPECT_FALSE(a().latched_for);
  EXPECT_FALSE(lab.from_a(rtp({}), kStart, attacker));
  EXPECT_EQ(a().stranger, attacker);
  ASSERT_TRUE(lab.from_a(rtp({})));
  EXPECT_EQ(lab.flows.read(kPortA, after_ms(2'500)).latched_for, 2'500ms);
  EXPECT_FALSE(lab.from_a(bytes_of({0x80, 0})));
  EXPECT_FALSE(lab.from_a({}));
  path.b.deliver = false;
  publish();
  EXPECT_FALSE(lab.from_a(rtp({.sequence = 2})));
  EXPECT_EQ(flow_drops(a(), DropReason::wrong_source), 1U);
  EXPECT_EQ(flow_drops(a(), DropReason::rtp_malformed), 1U);
  EXPECT_EQ(flow_drops(a(), DropReason::empty_datagram), 1U);
  EXPECT_EQ(flow_drops(a(), DropReason::held), 1U);
  EXPECT_EQ(a().refused, 1U);
  EXPECT_EQ(a().malformed, 2U);
  EXPECT_EQ(a().forwarded, 1U);
  std::uint64_t sum = 0;
  for (const std::uint32_t count : a().drops) sum += count;
  EXPECT_EQ(sum, lab.dropped());
  const auto names = flow_drop_reasons();
  EXPECT_EQ(names.front().name, "slot_busy");
  EXPECT_EQ(names.back().name, "neighbor_table_full");
}

TEST_F(BlockingTest, RelayedBytesCountWholeFrames) {
  publish();
  std::uint64_t bytes = 0;
  for (std::uint16_t i = 0; i < 3; ++i) {
    bytes += lab.from_a(rtp({.sequence = i, .payload = std::size_t{10} * i}))->frame.size();
  }
  EXPECT_FALSE(lab.from_a({}));
  EXPECT_EQ(lab.stats.relayed.value(), 3U);
  EXPECT_EQ(lab.stats.relayed_bytes.value(), bytes);
}

TEST_F(BlockingTest, HandoverRelatchesFromASilentToAnotherHintedSource) {
  const Endpoint second{kPartyA.address, UdpPort(4002)};
  publish();
  ASSERT_TRUE(lab.from_a(rtp({})));
  EXPECT_FALSE(lab.from_a(rtp({.ssrc = 2}), after_ms(500), second)) << "another SSRC";
  path.a.handover = true;
  publish();
  EXPECT_FALSE(lab.from_a(rtp({.ssrc = 2}), after_ms(50), second)) << "the old one still sends";
  EXPECT_TRUE(lab.from_a(rtp({.ssrc = 2}), after_ms(500), second));
  const Endpoint attacker{IpAddress::v4(198, 18, 0, 66), UdpPort(4002)};
  EXPECT_FALSE(lab.from_a(rtp({.ssrc = 3}), after_ms(5'000), attacker)) << "no hint";
}

}  // namespace
}  // namespace millrace::test

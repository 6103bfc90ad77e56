// SPDX-License-Identifier: BSD-3-Clause
// Statistics of RTP and RTCP on paths of any payload, as rtpproxy's protocol without codecs has.

#include <initializer_list>

#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

using Sequences = std::initializer_list<std::uint16_t>;

struct Opaque : testing::Test {
  PacketLab lab;
  Path path = path_ab();

  void SetUp() override {
    path.payload = Payload::opaque;
    lab.flows.publish(path, kStart);
  }
  void send(std::uint16_t sequence, std::uint64_t ms = 0, std::uint32_t ssrc = 0x11223344) {
    const Bytes packet =
        rtp({.sequence = sequence, .timestamp = sequence * 160U, .ssrc = ssrc, .payload_type = 8});
    EXPECT_TRUE(lab.from_a(packet, after_ms(ms)));
  }
  FlowReport a() const { return lab.flows.read(kPortA, kStart); }
};

TEST_F(Opaque, RtpHasTheStatisticsOfItsStream) {
  for (const std::uint16_t sequence : Sequences{9, 10, 11, 12, 15, 16})
    send(sequence, sequence * 20U);
  EXPECT_EQ(a().ssrc, 0x11223344U);
  EXPECT_EQ(a().payload_type, 8);
  EXPECT_EQ(a().extended_highest_sequence, 16U);
  EXPECT_EQ(a().expected, 7U) << "10 to 16";
  EXPECT_EQ(a().lost, 2);
  EXPECT_EQ(a().packets, 6U);
  EXPECT_EQ(a().jitter, 0U);
  send(17, 400);
  EXPECT_EQ(a().jitter, 30U) << "60 ms late: 480 of 8 kHz, by 1/16";
  for (int i = 0; i < 3; ++i) send(17, 400);
  EXPECT_EQ(a().lost, -1) << "two lost, three twice";
}

// RFC 3550 A.1, as UDPTL with the sequence number 0x8000 begins as RTP does.
TEST_F(Opaque, TwoPacketsInSequenceBeginAStream) {
  send(9);
  EXPECT_FALSE(a().ssrc);
  for (const std::uint16_t sequence : Sequences{11, 20, 7}) send(sequence);
  EXPECT_FALSE(a().ssrc);
  EXPECT_EQ(a().expected, 0U);
  send(8);
  EXPECT_EQ(a().expected, 1U);
  EXPECT_EQ(a().lost, 0);
  send(40, 0, 0xabcd);
  EXPECT_EQ(a().ssrc, 0x11223344U) << "one datagram is no stream";
  send(41, 0, 0xabcd);
  EXPECT_EQ(a().ssrc, 0xabcdU);
  EXPECT_EQ(a().lost, 0);
}

TEST_F(Opaque, OtherDatagramsCountAsDatagramsOnly) {
  send(9);
  send(10);
  for (const Bytes& other : {bytes_of({0x80, 1, 0, 11}), bytes_of({0xff}), stun(), zrtp_hello(),
                             rtcp(0x11223344), rtcp(0x55)}) {
    EXPECT_TRUE(lab.from_a(other));
  }
  EXPECT_EQ(a().packets, 8U);
  EXPECT_EQ(a().ssrc, 0x11223344U);
  EXPECT_EQ(a().expected, 1U);
  EXPECT_EQ(a().lost, 0);
  EXPECT_EQ(a().malformed, 0U);
}

TEST_F(Opaque, RtcpGivesTheQuality) {
  send(9);
  send(10);
  Bytes report = bytes_of({0x81, 201, 0, 7, 0, 0, 0, 0x0b, 0x11, 0x22, 0x33, 0x44, 64, 0, 0, 2});
  report.resize(32);
  EXPECT_TRUE(lab.from_b(report));
  const auto quality = lab.flows.read_quality(kPortB, kStart);
  ASSERT_TRUE(quality);
  EXPECT_EQ(quality->ssrc, 0x11223344U);
  EXPECT_EQ(quality->average.loss_percent, 25);
}

TEST_F(Opaque, StatisticsOutlastAChangeOfThePayload) {
  path.payload = Payload::rtp;
  lab.flows.publish(path, kStart);
  for (const std::uint16_t sequence : Sequences{10, 12}) send(sequence);
  path.payload = Payload::opaque;
  lab.flows.publish(path, kStart);
  EXPECT_EQ(a().lost, 1) << "audio, then T.38";
  EXPECT_TRUE(lab.from_a(bytes_of({0, 1, 2})));
  EXPECT_EQ(a().lost, 1);
}

TEST_F(Opaque, PortOfRtcpHasNoStream) {
  path.payload = Payload::rtcp;
  lab.flows.publish(path, kStart);
  EXPECT_TRUE(lab.from_a(rtcp(0x55)));
  path.payload = Payload::opaque;
  lab.flows.publish(path, kStart);
  EXPECT_TRUE(lab.from_a(rtcp(0x55)));
  EXPECT_FALSE(a().ssrc);
  EXPECT_EQ(a().lost, 0);
}

}  // namespace
}  // namespace millrace::test

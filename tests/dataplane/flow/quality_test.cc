// SPDX-License-Identifier: BSD-3-Clause
// RTCP that passes through the relay, and what it tells of loss, jitter and the round trip.

#include "dataplane/flow/quality.h"

#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kSsrcA = 0x0a0a0a0a;
constexpr std::uint32_t kSsrcB = 0x0b0b0b0b;

struct Block {
  std::uint32_t about = kSsrcA;
  std::uint8_t fraction_lost = 0;
  std::uint32_t jitter = 0;  // timestamp units
  std::uint32_t lsr = 0, dlsr = 0;
};

Bytes report_blocks(const std::vector<Block>& blocks) {
  Bytes out(24 * blocks.size(), std::byte{0});
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    put32(out, 24 * i, blocks[i].about);
    put32(out, 24 * i + 4, std::uint32_t{blocks[i].fraction_lost} << 24);
    put32(out, 24 * i + 12, blocks[i].jitter);
    put32(out, 24 * i + 16, blocks[i].lsr);
    put32(out, 24 * i + 20, blocks[i].dlsr);
  }
  return out;
}

Bytes head(int type, std::size_t blocks, std::uint32_t sender, std::size_t size) {
  Bytes out(8);
  out[0] = static_cast<std::byte>(0x80 | blocks);
  out[1] = static_cast<std::byte>(type);
  put16(out, 2, size / 4 - 1);
  put32(out, 4, sender);
  return out;
}

Bytes receiver_report(std::uint32_t sender, const std::vector<Block>& blocks) {
  return head(201, blocks.size(), sender, 8 + 24 * blocks.size()) + report_blocks(blocks);
}

// `ntp`: the middle 32 bits of the NTP time, as LSR repeats them.
Bytes sender_report(std::uint32_t sender, std::uint32_t ntp,
                    const std::vector<Block>& blocks = {}) {
  Bytes info(20, std::byte{0});
  put32(info, 0, ntp >> 16);
  put32(info, 4, ntp << 16);
  return head(200, blocks.size(), sender, 28 + 24 * blocks.size()) + info + report_blocks(blocks);
}

// RTP and RTCP share the ports, so that the bench's two slots see both.
struct QualityTest : testing::Test {
  PacketLab lab;
  Path path = path_ab();

  void SetUp() override {
    path.a.rtcp_mux = path.b.rtcp_mux = true;
    lab.flows.publish(path, kStart);
    ASSERT_TRUE(lab.from_a(rtp({.ssrc = kSsrcA})));
    ASSERT_TRUE(lab.from_b(rtp({.ssrc = kSsrcB})));
  }
  std::optional<QualityReport> of_b(Tsc now = kStart) {
    return lab.flows.read(kPortB, now).quality;
  }
};

TEST_F(QualityTest, NothingIsKnownWithoutReports) {
  EXPECT_FALSE(of_b());
  ASSERT_TRUE(lab.from_b(sender_report(kSsrcB, 1)));
  EXPECT_FALSE(of_b()) << "a sender report without blocks tells nothing of what it gets";
}

TEST_F(QualityTest, LossAndJitterOfTheStreamThatIsSent) {
  const Bytes report = receiver_report(
      kSsrcB, {{.about = 1, .fraction_lost = 255}, {.fraction_lost = 64, .jitter = 80}});
  ASSERT_TRUE(lab.from_b(report));
  const auto quality = of_b(after_ms(5'000));
  ASSERT_TRUE(quality);
  EXPECT_EQ(quality->ssrc, kSsrcA);
  EXPECT_EQ(quality->samples, 1U);
  EXPECT_EQ(quality->lowest.loss_percent, 25U);
  EXPECT_EQ(quality->lowest.jitter_ms, 10U) << "80 units of 8 kHz";
  EXPECT_EQ(quality->lowest.round_trip, 0us);
  EXPECT_EQ(quality->lowest.age, 5s);
  EXPECT_FALSE(lab.flows.read(kPortA, kStart).quality);
}

TEST_F(QualityTest, RoundTripAcrossTheRelay) {
  // A's report reaches B, which answers after half a second; 40 ms are the leg of B.
  ASSERT_TRUE(lab.from_a(sender_report(kSsrcA, 0x12345678)));
  ASSERT_TRUE(
      lab.from_b(receiver_report(kSsrcB, {{.lsr = 0x12345678, .dlsr = 0x8000}}), after_ms(540)));
  EXPECT_EQ(of_b()->highest.leg, 40'000us);
  EXPECT_EQ(of_b()->highest.round_trip, 40'000us) << "nothing is known of A's leg";
  // The other leg has 100 ms; from then on the trip of the call is both.
  ASSERT_TRUE(lab.from_b(sender_report(kSsrcB, 77), after_ms(1'000)));
  ASSERT_TRUE(lab.from_a(receiver_report(kSsrcA, {{.about = kSsrcB, .lsr = 77}}), after_ms(1'100)));
  const auto of_a = lab.flows.read(kPortA, after_ms(1'100)).quality;
  ASSERT_TRUE(of_a);
  EXPECT_EQ(of_a->average.leg, 100'000us);
  EXPECT_EQ(of_a->average.round_trip, 140'000us);
}

TEST_F(QualityTest, ClocksThatDifferMakeNoTripUnknown) {
  ASSERT_TRUE(lab.from_a(sender_report(kSsrcA, 5)));
  ASSERT_TRUE(
      lab.from_b(receiver_report(kSsrcB, {{.lsr = 5, .dlsr = 5 * 0x10000}}), after_ms(4'999)));
  EXPECT_EQ(of_b()->average.leg, 1us);
}

TEST_F(QualityTest, AnswersToWhatDidNotPassGiveNoRoundTrip) {
  ASSERT_TRUE(lab.from_a(sender_report(kSsrcA, 5)));
  for (const Block& block : {Block{.lsr = 0}, Block{.lsr = 6}, Block{.lsr = 5, .dlsr = 0x20000}}) {
    ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {block}), after_ms(1'000)));
  }
  EXPECT_EQ(of_b()->samples, 3U);
  EXPECT_EQ(of_b()->average.round_trip, 0us);
  EXPECT_EQ(of_b()->average.leg, 0us);
}

TEST_F(QualityTest, AverageLowestAndHighest) {
  for (const std::uint8_t lost : {std::uint8_t{26}, std::uint8_t{0}, std::uint8_t{52}}) {
    ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.fraction_lost = lost}})));
  }
  const auto quality = of_b();
  EXPECT_EQ(quality->samples, 3U);
  EXPECT_EQ(quality->average.loss_percent, 10U);
  EXPECT_EQ(quality->lowest.loss_percent, 20U);
  EXPECT_EQ(quality->highest.loss_percent, 0U);
  // R = 93.2 - 0.25 without loss; MOS 4.4 (ITU-T G.107 appendix).
  EXPECT_EQ(quality->highest.mos_tenths, 44U);
  EXPECT_EQ(quality->lowest.mos_tenths, 22U);
  EXPECT_GT(quality->average.mos_tenths, quality->lowest.mos_tenths);
  EXPECT_LT(quality->average.mos_tenths, quality->highest.mos_tenths);
}

TEST_F(QualityTest, NewSsrcStartsAfreshAndOthersAreIgnored) {
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.fraction_lost = 255}})));
  ASSERT_TRUE(lab.from_a(rtp({.ssrc = 99})));
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.fraction_lost = 255}})));
  EXPECT_EQ(of_b()->samples, 1U) << "a report on a stream that is no longer sent";
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.about = 99}})));
  EXPECT_EQ(of_b()->ssrc, 99U);
  EXPECT_EQ(of_b()->samples, 1U);
  EXPECT_EQ(of_b()->lowest.loss_percent, 0U);
}

TEST_F(QualityTest, EncryptedReportsAreNotRead) {
  path.encrypted = true;
  lab.flows.publish(path, kStart);
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{}})));
  EXPECT_FALSE(of_b());
}

TEST_F(QualityTest, AnotherCallOnThePortsKnowsNothingOfIt) {
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{}})));
  lab.flows.withdraw(kPortB);
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(of_b());
}

// Every count against every length: what is read stays within the packet, on an exact-size heap.
TEST(NoteReports, CountsThatPromiseMoreThanThereIs) {
  Quality own;
  const Quality peer;
  for (const int type : {200, 201, 202}) {
    for (std::size_t count = 0; count < 32; ++count) {
      for (std::size_t size = 8; size <= 8 + 20 + 24 * 3; size += 4) {
        Bytes packet(size, std::byte{0});
        std::ranges::copy(head(type, count, 1, size), packet.begin());
        note_reports(packet, own, peer, 7, 8000, kStart, kHz);
      }
    }
  }
  EXPECT_FALSE(read_quality(own, kStart, kHz)) << "no block was about 7";
}

}  // namespace
}  // namespace millrace::test

// SPDX-License-Identifier: BSD-3-Clause
// Loss, jitter and round-trip time, measured from the RTCP that the relay forwards.

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
// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): in the order of the report
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
    return lab.flows.read_quality(kPortB, now);
  }
  // Sender reports of both pass; each party answers the other's, which makes both legs known.
  // From then on every report of B that answers `kLsr` is complete.
  static constexpr std::uint32_t kLsr = 0x12345678;
  void learn_legs() {
    ASSERT_TRUE(lab.from_a(sender_report(kSsrcA, kLsr)));
    ASSERT_TRUE(lab.from_b(sender_report(kSsrcB, kLsr)));
    ASSERT_TRUE(lab.from_a(receiver_report(kSsrcA, {{.about = kSsrcB, .lsr = kLsr}})));
  }
};

TEST_F(QualityTest, IsUnknownWithoutReports) {
  EXPECT_FALSE(of_b());
  ASSERT_TRUE(lab.from_b(sender_report(kSsrcB, 1)));
  EXPECT_FALSE(of_b()) << "a sender report without report blocks has no reception figures";
}

TEST_F(QualityTest, ReportsLossAndJitterOfTheSentStream) {
  const Bytes report = receiver_report(
      kSsrcB, {{.about = 1, .fraction_lost = 255}, {.fraction_lost = 64, .jitter = 80}});
  ASSERT_TRUE(lab.from_b(report));
  const auto quality = of_b(after_ms(5'000));
  ASSERT_TRUE(quality);
  EXPECT_EQ(quality->ssrc, kSsrcA);
  EXPECT_EQ(quality->samples, 1U);
  EXPECT_EQ(quality->average.loss_percent, 25U);
  EXPECT_EQ(quality->average.jitter_ms, 10U) << "80 units of 8 kHz";
  EXPECT_FALSE(lab.flows.read_quality(kPortA, kStart));
}

TEST_F(QualityTest, OnlyCompleteSamplesCountInMosAndRoundTrip) {
  // B's leg has 150 ms, which three reports show; A's is not known yet.
  ASSERT_TRUE(lab.from_a(sender_report(kSsrcA, kLsr)));
  for (const std::uint64_t at : {650U, 651U, 652U}) {
    const auto dlsr = static_cast<std::uint32_t>((at - 150) * 0x10000 / 1000);
    ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.lsr = kLsr, .dlsr = dlsr}}), after_ms(at)));
  }
  auto of_b = this->of_b();
  EXPECT_EQ(of_b->samples, 3U);
  EXPECT_EQ(of_b->complete, 0U);
  EXPECT_NEAR(static_cast<double>(of_b->average.leg.count()), 150'000, 100);
  EXPECT_EQ(of_b->average.round_trip, 0us) << "nothing is known of A's leg";
  EXPECT_EQ(of_b->average.mos_tenths, 0U);
  EXPECT_EQ(of_b->lowest.mos_tenths, 0U);
  // A's leg has 100 ms: from then on samples are complete, 250 ms each.
  ASSERT_TRUE(lab.from_b(sender_report(kSsrcB, 77), after_ms(1'000)));
  ASSERT_TRUE(lab.from_a(receiver_report(kSsrcA, {{.about = kSsrcB, .lsr = 77}}), after_ms(1'100)));
  const auto of_a = lab.flows.read_quality(kPortA, after_ms(1'100));
  ASSERT_TRUE(of_a);
  EXPECT_EQ(of_a->average.leg, 100'000us);
  EXPECT_NEAR(static_cast<double>(of_a->average.round_trip.count()), 250'000, 100);
  ASSERT_TRUE(lab.from_a(sender_report(kSsrcA, 78), after_ms(2'000)));
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.lsr = 78}}), after_ms(2'150)));
  of_b = this->of_b(after_ms(4'150));
  EXPECT_EQ(of_b->samples, 4U);
  EXPECT_EQ(of_b->complete, 1U);
  EXPECT_EQ(of_b->average.round_trip, 250'000us) << "not a mean with what was half known";
  EXPECT_EQ(of_b->average.mos_tenths, of_b->highest.mos_tenths);
  EXPECT_EQ(of_b->lowest.round_trip, 250'000us);
  EXPECT_EQ(of_b->lowest.leg, 150'000us);
  EXPECT_EQ(of_b->lowest.age, 2s);
}

TEST_F(QualityTest, RoundTripWorksWithUnsynchronisedClocks) {
  ASSERT_TRUE(lab.from_a(sender_report(kSsrcA, 5)));
  ASSERT_TRUE(
      lab.from_b(receiver_report(kSsrcB, {{.lsr = 5, .dlsr = 5 * 0x10000}}), after_ms(4'999)));
  EXPECT_EQ(of_b()->average.leg, 1us);
}

TEST_F(QualityTest, AnswerToAReportThatDidNotPassGivesNoRoundTrip) {
  ASSERT_TRUE(lab.from_a(sender_report(kSsrcA, 5)));
  for (const Block& block : {Block{.lsr = 0}, Block{.lsr = 6}, Block{.lsr = 5, .dlsr = 0x20000}}) {
    ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {block}), after_ms(1'000)));
  }
  EXPECT_EQ(of_b()->samples, 3U);
  EXPECT_EQ(of_b()->average.round_trip, 0us);
  EXPECT_EQ(of_b()->average.leg, 0us);
}

TEST_F(QualityTest, ReportsAverageLowestAndHighest) {
  learn_legs();
  for (const std::uint8_t lost : {std::uint8_t{26}, std::uint8_t{0}, std::uint8_t{52}}) {
    ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.fraction_lost = lost, .lsr = kLsr}})));
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

TEST_F(QualityTest, NewSsrcRestartsAndOthersAreIgnored) {
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.fraction_lost = 255}})));
  ASSERT_TRUE(lab.from_a(rtp({.ssrc = 99})));
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.fraction_lost = 255}})));
  EXPECT_EQ(of_b()->samples, 1U) << "a report on a stream that is no longer sent";
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.about = 99}})));
  EXPECT_EQ(of_b()->ssrc, 99U);
  EXPECT_EQ(of_b()->samples, 1U);
  EXPECT_EQ(of_b()->average.loss_percent, 0U);
}

TEST_F(QualityTest, EncryptedReportsAreNotParsed) {
  path.encrypted = true;
  lab.flows.publish(path, kStart);
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{}})));
  EXPECT_FALSE(of_b());
}

// The pair of ports owns it: what signalling does to one of the ports, or to both, leaves it alone
// until neither has a flow.
struct QualityOfPair : QualityTest {
  static LocalPort above(LocalPort port) { return {port.address, port.port.next()}; }
  // RTCP on ports of its own.
  void split() {
    path.a.rtcp_mux = path.b.rtcp_mux = false;
    Path rtcp = path;
    rtcp.payload = Payload::rtcp;
    for (Side* side : {&rtcp.a, &rtcp.b}) {
      side->local = above(side->local);
      side->remote->port = side->remote->port.next();
    }
    lab.flows.publish(path, kStart);
    lab.flows.publish(rtcp, kStart);
  }
  // As the control side does when both parties multiplex: the RTCP ports have no flow.
  void join() {
    path.a.rtcp_mux = path.b.rtcp_mux = true;
    lab.flows.publish(path, kStart);
    lab.flows.withdraw(above(kPortA));
    lab.flows.withdraw(above(kPortB));
  }
};

TEST_F(QualityOfPair, OutlivesEveryOfferOfTheCall) {
  learn_legs();
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.lsr = kLsr}})));
  const auto expect_kept = [&](const char* what) {
    const auto of_b = this->of_b();
    ASSERT_TRUE(of_b) << what;
    EXPECT_EQ(of_b->complete, 1U) << what;
  };
  join();
  expect_kept("a re-INVITE with rtcp-mux");
  path.a.deliver = false;
  path.b.blocking = Blocking::drop;
  join();
  expect_kept("hold and block");
  split();
  expect_kept("the end of rtcp-mux");
  join();
  expect_kept("and its return");
  path.payload = Payload::opaque;
  join();
  expect_kept("T.38");
  path.payload = Payload::rtp;
  path.a.deliver = true;
  path.b.blocking = Blocking::none;
  join();
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{.lsr = kLsr}})));
  EXPECT_EQ(of_b()->complete, 2U) << "the legs are still known";
}

TEST_F(QualityOfPair, CanBeReadWhileOneOfThePortsHasAFlow) {
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{}})));
  split();
  lab.flows.withdraw(kPortB);
  EXPECT_TRUE(of_b()) << "the port of RTCP is there";
  lab.flows.withdraw(above(kPortB));
  EXPECT_FALSE(of_b());
}

TEST_F(QualityOfPair, AnotherCallOnThePortsStartsEmpty) {
  ASSERT_TRUE(lab.from_b(receiver_report(kSsrcB, {{}})));
  lab.flows.withdraw(kPortB);
  EXPECT_FALSE(of_b());
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(of_b());
  // A report that a worker was processing when the ports were returned.
  lab.flows.withdraw(kPortB);
  lab.flows.quality(SlotIndex(kPortB)).subject = 1ULL << 32;
  lab.flows.publish(path, kStart);
  EXPECT_FALSE(of_b());
}

// Every count against every length: the parser stays within a buffer of exact size.
TEST(NoteReports, BlockCountsBeyondTheReportAreBounded) {
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
  EXPECT_FALSE(report_of(own, kStart, kHz)) << "no block was about 7";
}

}  // namespace
}  // namespace millrace::test

// SPDX-License-Identifier: BSD-3-Clause
// The index over loss, reordering and wraps of the sequence number, in bursts of every size.

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tests/dataplane/srtp/srtp_lab.h"

namespace millrace {
namespace {

class Order : public testing::TestWithParam<Suite> {
 protected:
  // Opens packets in bursts of random sizes. Returns the verdicts.
  std::vector<SrtpVerdict> open_all(OpeningContext& context, std::vector<Bytes>& packets) {
    std::vector<SrtpVerdict> verdicts;
    for (std::size_t at = 0; at < packets.size();) {
      const std::size_t count =
          std::min<std::size_t>(1 + random() % Srtp::kBurst, packets.size() - at);
      std::vector<SrtpPacket> burst;
      for (std::size_t i = 0; i < count; ++i) {
        burst.push_back(SrtpLab::to_open(context, packets[at + i]));
      }
      lab.srtp.open(burst, lab.now);
      for (std::size_t i = 0; i < count; ++i) {
        packets[at + i].resize(burst[i].size);
        verdicts.push_back(burst[i].verdict);
      }
      at += count;
    }
    return verdicts;
  }

  SrtpLab lab;
  const MasterKey master = key_of(GetParam());
  SealingContext& to = lab.sealing(master);
  std::minstd_rand random{11};
};

// From 65,530 over three wraps: a tenth is lost, each packet comes up to 60 places late.
TEST_P(Order, LossAndReorderingOverWraps) {
  OpeningContext& from = lab.opening(master);
  std::multimap<std::uint64_t, std::uint32_t> arrivals;
  constexpr std::uint32_t kFirst = 65'530, kCount = 3 * 65'536;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    if (i > 0 && random() % 10 == 0) continue;
    arrivals.emplace(i + (i > 0 ? random() % 60 : 0), kFirst + i);
  }
  std::vector<Bytes> plain, packets;
  std::map<std::uint32_t, Bytes> sealed;
  for (std::uint32_t i = kFirst; i < kFirst + kCount; ++i) {
    sealed[i] = lab.sealed(to, rtp_packet(static_cast<std::uint16_t>(i)));
  }
  for (const auto& [place, number] : arrivals) {
    plain.push_back(rtp_packet(static_cast<std::uint16_t>(number)));
    packets.push_back(sealed[number]);
  }
  const auto verdicts = open_all(from, packets);
  for (std::size_t i = 0; i < packets.size(); ++i) {
    ASSERT_EQ(verdicts[i], SrtpVerdict::ok) << i;
    ASSERT_EQ(packets[i], plain[i]) << i;
  }
  EXPECT_EQ(from.half(PacketKind::rtp).lists.find(kSsrc)->highest().roc(), 3U);
}

// 2^16 orders of ten packets around the first wrap, some of them lost.
TEST_P(Order, AnyOrderAroundTheFirstWrap) {
  std::vector<Bytes> sealed;
  for (std::uint32_t i = 65'531; i < 65'541; ++i) {
    sealed.push_back(lab.sealed(to, rtp_packet(static_cast<std::uint16_t>(i))));
  }
  OpeningContext& from = lab.opening(master);
  for (int order = 0; order < 65'536; ++order) {
    std::vector<Bytes> packets = sealed;
    std::ranges::shuffle(packets, random);
    packets.resize(1 + random() % packets.size());
    from.half(PacketKind::rtp).lists = {};
    for (const SrtpVerdict verdict : open_all(from, packets)) {
      ASSERT_EQ(verdict, SrtpVerdict::ok) << order;
    }
  }
}

TEST_P(Order, BeginsAtAnySequenceNumber) {
  OpeningContext& from = lab.opening(master);
  for (std::uint32_t first = 0; first < 65'536; first += 97) {
    from.half(PacketKind::rtp).lists = {};
    to.rtp().lists = {};
    for (std::uint32_t i = first; i < first + 3; ++i) {
      const Bytes packet = lab.sealed(to, rtp_packet(static_cast<std::uint16_t>(i)));
      ASSERT_EQ(lab.try_open(from, packet), SrtpVerdict::ok) << i;
    }
  }
}

TEST_P(Order, LatePacketsWithinTheWindow) {
  OpeningContext& from = lab.opening(master);
  std::vector<Bytes> sealed;
  for (std::uint16_t i = 0; i < 300; ++i) sealed.push_back(lab.sealed(to, rtp_packet(i)));
  EXPECT_EQ(lab.try_open(from, sealed[299]), SrtpVerdict::ok);
  EXPECT_EQ(lab.try_open(from, sealed[299 - 127]), SrtpVerdict::ok);
  EXPECT_EQ(lab.try_open(from, sealed[299 - 128]), SrtpVerdict::replay);
  EXPECT_EQ(lab.try_open(from, sealed[299 - 127]), SrtpVerdict::replay);
}

// After a restart of the relay, or at a context made late in a call.
TEST_P(Order, ContinuesAtAnyRoc) {
  for (const std::uint32_t roc : {0U, 1U, 2U, 77U, 0xffff'fff0U}) {
    OpeningContext& from = lab.opening(master);
    SealingContext& sender = lab.sealing(master);
    sender.continue_after(kSsrc, {roc, 65'530}, lab.now);
    from.continue_after(PacketKind::rtp, kSsrc, {roc, 65'528}, lab.now);
    std::vector<Bytes> packets;
    for (std::uint32_t i = 65'531; i < 65'551; ++i) {
      packets.push_back(lab.sealed(sender, rtp_packet(static_cast<std::uint16_t>(i))));
    }
    const std::vector<Bytes> again = packets;
    for (const SrtpVerdict verdict : open_all(from, packets)) ASSERT_EQ(verdict, SrtpVerdict::ok);
    packets = again;
    for (const SrtpVerdict verdict : open_all(from, packets)) EXPECT_NE(verdict, SrtpVerdict::ok);
    EXPECT_EQ(from.half(PacketKind::rtp).lists.find(kSsrc)->highest().roc(), roc + 1);
    lab.contexts.release(&from);
    lab.contexts.release(&sender);
  }
}

// A gap of up to 2^15 - 1 keeps the index.
TEST_P(Order, Gaps) {
  OpeningContext& from = lab.opening(master);
  std::uint32_t number = 10;
  for (int i = 0; i < 100; ++i) {
    const Bytes packet = lab.sealed(to, rtp_packet(static_cast<std::uint16_t>(number)));
    ASSERT_EQ(lab.try_open(from, packet), SrtpVerdict::ok) << i;
    number += 32'767;
  }
}

// What the sender cannot give an index that receivers guess, it does not send.
TEST_P(Order, SealsReorderedPacketsOnce) {
  OpeningContext& from = lab.opening(master);
  for (const std::uint16_t sequence : std::to_array<std::uint16_t>({5, 3, 4})) {
    EXPECT_EQ(lab.try_open(from, lab.sealed(to, rtp_packet(sequence))), SrtpVerdict::ok);
  }
  for (const std::uint16_t sequence : std::to_array<std::uint16_t>({5, 3, 4})) {
    Bytes packet = rtp_packet(sequence);
    EXPECT_EQ(lab.seal(to, packet), SrtpVerdict::replay);
  }
  Bytes before_the_first = rtp_packet(65'535);
  EXPECT_EQ(lab.seal(to, before_the_first), SrtpVerdict::replay);
  Bytes next = lab.sealed(to, rtp_packet(6));
  EXPECT_EQ(lab.open(from, next), SrtpVerdict::ok);
}

INSTANTIATE_TEST_SUITE_P(Suites, Order,
                         testing::Values(Suite::aes_cm_128_hmac_sha1_80, Suite::aead_aes_128_gcm),
                         [](const auto& param) { return std::string(info_of(param.param).name); });

}  // namespace
}  // namespace millrace

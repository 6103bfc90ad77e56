// SPDX-License-Identifier: BSD-3-Clause
// Every suite, kind of packet and engine: what is sealed opens, and nothing else does.

#include <cctype>
#include <random>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "tests/dataplane/srtp/srtp_lab.h"

namespace millrace {
namespace {

class RoundTrip : public testing::TestWithParam<std::tuple<Suite, PacketKind, Engine::Kind>> {
 protected:
  [[nodiscard]] static Suite suite() { return std::get<0>(GetParam()); }
  [[nodiscard]] static PacketKind kind() { return std::get<1>(GetParam()); }
  [[nodiscard]] static std::size_t tag() {
    const SuiteInfo& info = info_of(suite());
    return kind() == PacketKind::rtp ? info.rtp_tag : info.rtcp_tag + 4U;
  }

  SrtpLab lab{std::get<2>(GetParam())};
  OpeningContext& from = lab.opening(key_of(suite()));
  SealingContext& to = lab.sealing(key_of(suite()));
};

// A header with two CSRCs and an extension of two words.
[[nodiscard]] Bytes extended_packet(std::uint16_t sequence) {
  Bytes packet = rtp_packet(sequence, 50);
  packet[0] = std::byte{0x92};
  store(packet.data() + 20, Be32(0xbede'0002));
  return packet;
}

TEST_P(RoundTrip, OfAllLengths) {
  for (std::uint16_t i = 0; i < 400; ++i) {
    const Bytes plain = kind() == PacketKind::rtp ? rtp_packet(i, i) : rtcp_packet(i);
    Bytes packet = lab.sealed(to, plain, kind());
    ASSERT_EQ(packet.size(), plain.size() + tag());
    const std::size_t clear = kind() == PacketKind::rtp ? 12 : 8;
    EXPECT_TRUE(std::ranges::equal(std::span(packet).first(clear), std::span(plain).first(clear)));
    EXPECT_EQ(std::ranges::equal(std::span(packet).first(plain.size()), plain), i == 0);
    ASSERT_EQ(lab.open(from, packet, kind()), SrtpVerdict::ok) << i;
    ASSERT_EQ(packet, plain);
  }
}

TEST_P(RoundTrip, OfCsrcsAndExtension) {
  if (kind() == PacketKind::rtcp) return;
  const Bytes plain = extended_packet(1);
  Bytes packet = lab.sealed(to, plain);
  EXPECT_TRUE(std::ranges::equal(std::span(packet).first(32), std::span(plain).first(32)));
  ASSERT_EQ(lab.open(from, packet), SrtpVerdict::ok);
  EXPECT_EQ(packet, plain);
}

TEST_P(RoundTrip, OfBursts) {
  std::minstd_rand random;
  std::uint16_t sequence = 0;
  for (std::size_t count = 1; count <= Srtp::kBurst; ++count) {
    std::vector<Bytes> plain, packets;
    std::vector<SrtpPacket> burst;
    for (std::size_t i = 0; i < count; ++i) {
      plain.push_back(kind() == PacketKind::rtp
                          ? rtp_packet(sequence++, random() % 300)
                          : rtcp_packet(static_cast<std::uint16_t>(random() % 80)));
      packets.push_back(plain.back());
      packets.back().resize(plain.back().size() + tag());
    }
    for (std::size_t i = 0; i < count; ++i) {
      burst.push_back({.from = &from,
                       .to = &to,
                       .data = packets[i].data(),
                       .size = static_cast<std::uint32_t>(plain[i].size()),
                       .room = static_cast<std::uint32_t>(packets[i].size()),
                       .kind = kind()});
    }
    lab.srtp.seal(burst, lab.now);
    for (const SrtpPacket& packet : burst) {
      ASSERT_EQ(packet.verdict, SrtpVerdict::ok);
      ASSERT_EQ(packet.size, packet.room);
    }
    lab.srtp.open(burst, lab.now);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(burst[i].verdict, SrtpVerdict::ok);
      ASSERT_TRUE(std::ranges::equal(burst[i].bytes(), plain[i]));
    }
  }
}

// In one step from one key to another.
TEST_P(RoundTrip, Reseals) {
  const MasterKey next = key_of(Suite::aes_cm_128_hmac_sha1_32, 7);
  SealingContext& onwards = lab.sealing(next);
  OpeningContext& end = lab.opening(next);
  const Bytes plain = packet_of(kind());
  Bytes packet = lab.sealed(to, plain, kind());
  const auto size = static_cast<std::uint32_t>(packet.size());
  packet.resize(size + Srtp::kMaxGrowth);
  Bytes forged = packet;
  forged[size - 1] ^= std::byte{1};
  std::array<SrtpPacket, 2> burst;
  for (SrtpPacket& one : burst) {
    one = {.from = &from, .to = &onwards, .size = size, .room = size + 20, .kind = kind()};
  }
  burst[0].data = forged.data();
  burst[1].data = packet.data();
  lab.srtp.process(burst, lab.now);
  EXPECT_EQ(burst[0].verdict, SrtpVerdict::auth);
  EXPECT_EQ(burst[0].size, size);
  ASSERT_EQ(burst[1].verdict, SrtpVerdict::ok);
  packet.resize(burst[1].size);
  ASSERT_EQ(lab.open(end, packet, kind()), SrtpVerdict::ok);
  EXPECT_EQ(packet, plain);
}

TEST_P(RoundTrip, RefusesEveryPrefix) {
  const Bytes sealed = lab.sealed(to, packet_of(kind()), kind());
  const Bytes before = image_of(from);
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    // A heap block of exactly its size, for AddressSanitizer.
    Bytes prefix(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size));
    const Bytes original = prefix;
    ASSERT_NE(lab.open(from, prefix, kind()), SrtpVerdict::ok) << size;
    ASSERT_EQ(prefix, original) << size;
  }
  EXPECT_EQ(image_of(from), before);
  EXPECT_EQ(lab.try_open(from, sealed, kind()), SrtpVerdict::ok);
}

// Also when the stream is known.
TEST_P(RoundTrip, RefusesEveryFlippedBit) {
  for (std::uint16_t sequence = 1; sequence <= 2; ++sequence) {
    const Bytes sealed = lab.sealed(to, packet_of(kind(), sequence), kind());
    const Bytes before = image_of(from);
    for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
      Bytes packet = sealed;
      packet[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      const Bytes flipped = packet;
      ASSERT_NE(lab.open(from, packet, kind()), SrtpVerdict::ok) << bit;
      ASSERT_EQ(packet, flipped) << bit;
    }
    EXPECT_EQ(image_of(from), before);
    EXPECT_EQ(lab.try_open(from, sealed, kind()), SrtpVerdict::ok);
  }
}

TEST_P(RoundTrip, RefusesReplays) {
  std::vector<Bytes> sealed;
  for (std::uint16_t i = 0; i < 1000; ++i) {
    sealed.push_back(lab.sealed(to, packet_of(kind(), i), kind()));
    ASSERT_EQ(lab.try_open(from, sealed.back(), kind()), SrtpVerdict::ok);
  }
  const Bytes before = image_of(from);
  // The list decides before an engine is asked.
  const bool engine = std::get<2>(GetParam()) == Engine::Kind::ipsec_mb;
  for (std::size_t i = 0; i < (engine ? 100'000U : 1000U); ++i) {
    ASSERT_EQ(lab.try_open(from, sealed[i % sealed.size()], kind()), SrtpVerdict::replay);
  }
  EXPECT_EQ(image_of(from), before);
}

TEST_P(RoundTrip, OpensADuplicateInABurstOnce) {
  const Bytes sealed = lab.sealed(to, packet_of(kind()), kind());
  Bytes one = sealed, two = sealed;
  std::array burst = {SrtpLab::to_open(from, one, kind()), SrtpLab::to_open(from, two, kind())};
  lab.srtp.open(burst, lab.now);
  EXPECT_EQ(burst[0].verdict, SrtpVerdict::ok);
  EXPECT_EQ(burst[1].verdict, SrtpVerdict::replay);
  EXPECT_EQ(two, sealed);
}

TEST_P(RoundTrip, VerifiesWithoutOpening) {
  Bytes packet = lab.sealed(to, packet_of(kind()), kind());
  const Bytes sealed = packet;
  SrtpPacket one = SrtpLab::to_open(from, packet, kind());
  one.verify_only = true;
  lab.srtp.open({&one, 1}, lab.now);
  EXPECT_EQ(one.verdict, SrtpVerdict::ok);
  EXPECT_EQ(one.size, sealed.size());
  EXPECT_EQ(packet, sealed);
  lab.srtp.open({&one, 1}, lab.now);
  EXPECT_EQ(one.verdict, SrtpVerdict::replay);
  EXPECT_EQ(packet, sealed);
}

TEST_P(RoundTrip, NeedsRoom) {
  Bytes packet = packet_of(kind());
  const auto size = static_cast<std::uint32_t>(packet.size());
  packet.resize(size + tag());
  const Bytes plain = packet, before = image_of(to);
  for (std::uint32_t room = size; room < packet.size(); ++room) {
    SrtpPacket one{.to = &to, .data = packet.data(), .size = size, .room = room, .kind = kind()};
    lab.srtp.seal({&one, 1}, lab.now);
    ASSERT_EQ(one.verdict, SrtpVerdict::too_long);
    ASSERT_EQ(packet, plain);
  }
  EXPECT_EQ(image_of(to), before);
}

TEST_P(RoundTrip, RefusesOtherKeys) {
  OpeningContext& other = lab.opening(key_of(suite(), 2));
  EXPECT_EQ(lab.try_open(other, lab.sealed(to, packet_of(kind()), kind()), kind()),
            SrtpVerdict::auth);
}

[[nodiscard]] std::string name_of_case(
    const testing::TestParamInfo<std::tuple<Suite, PacketKind, Engine::Kind>>& param) {
  const auto [suite, kind, engine] = param.param;
  return std::string(info_of(suite).name) + (kind == PacketKind::rtp ? "_rtp" : "_rtcp") +
         (engine == Engine::Kind::ipsec_mb ? "_ipsec_mb" : "_openssl");
}

constexpr auto kAllSuites = [] {
  std::array<Suite, kSuites.size()> all{};
  std::ranges::transform(kSuites, all.begin(), &SuiteInfo::suite);
  return all;
}();

INSTANTIATE_TEST_SUITE_P(All, RoundTrip,
                         testing::Combine(testing::ValuesIn(kAllSuites),
                                          testing::Values(PacketKind::rtp, PacketKind::rtcp),
                                          testing::Values(Engine::Kind::ipsec_mb,
                                                          Engine::Kind::openssl)),
                         name_of_case);

TEST(Suites, AreFoundByTheirRegisteredNames) {
  for (const SuiteInfo& info : kSuites) EXPECT_EQ(suite_of(info.name), info.suite);
  for (const char* const name :
       {"NULL_HMAC_SHA1_80", "NULL_HMAC_SHA1_32", "F8_128_HMAC_SHA1_80", "AES_CM_128", ""}) {
    EXPECT_EQ(suite_of(name), std::nullopt) << name;
  }
}

TEST(MasterKeys, HaveTheLengthsOfTheirSuite) {
  for (const SuiteInfo& info : kSuites) {
    for (std::size_t size = 0; size < 64; ++size) {
      const Bytes both(size, std::byte{1});
      EXPECT_EQ(MasterKey::of(info.suite, both).has_value(), size == info.key + info.salt) << size;
    }
  }
  EXPECT_TRUE(Mki::of(Bytes(128)));
  EXPECT_FALSE(Mki::of(Bytes(129)));
}

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire/checksum.h"

#include <array>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Words = std::vector<std::uint16_t>;

std::uint16_t whole(const Words& words) { return checksum(std::as_bytes(std::span(words))); }

// RFC 1071 section 3: 00 01 f2 03 f4 f5 f6 f7 add up to dd f2.
TEST(Checksum, ExampleOfRfc1071) {
  const std::array<std::uint8_t, 8> bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  const std::uint16_t sum = ones_sum(std::as_bytes(std::span(bytes)));
  std::array<std::uint8_t, 2> raw{};
  std::memcpy(raw.data(), &sum, 2);
  EXPECT_EQ(raw, (std::array<std::uint8_t, 2>{0xdd, 0xf2}));
}

TEST(Checksum, OddByteIsPaddedWithZero) {
  const std::array<std::uint8_t, 3> odd{1, 2, 3};
  const std::array<std::uint8_t, 4> even{1, 2, 3, 0};
  EXPECT_EQ(checksum(std::as_bytes(std::span(odd))), checksum(std::as_bytes(std::span(even))));
}

// RFC 1624 section 4: HC dd2f, word 5555 becomes 3285; the new checksum is 0000, not ffff.
TEST(Checksum, ExampleOfRfc1624) {
  EXPECT_EQ(updated_checksum(0xdd2f, fold(word_delta(0x5555, 0x3285))), 0x0000);
  EXPECT_EQ(updated_udp_checksum(0xdd2f, fold(word_delta(0x5555, 0x3285))), 0xffff);
}

TEST(Checksum, FoldKeepsTheSumModulo0xffff) {
  std::mt19937_64 random{1};
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t value = random() >> (random() % 64);
    EXPECT_EQ(fold(value) % 0xffff, value % 0xffff) << value;
    EXPECT_EQ(fold(value) == 0, value == 0) << value;
  }
}

TEST(Checksum, IncrementalEqualsWholeForRandomRewrites) {
  std::mt19937 random{2};
  const auto word = [&]() -> std::uint16_t {
    // Corner values often: that is where ones' complement has its two zeros.
    switch (random() % 4) {
      case 0:
        return 0;
      case 1:
        return 0xffff;
      default:
        return static_cast<std::uint16_t>(random());
    }
  };
  for (int round = 0; round < 200'000; ++round) {
    Words words(2 + random() % 20);
    for (auto& w : words) w = word();
    words[0] = 0x4500;  // never all zero, as no header is
    const std::uint16_t before = whole(words);
    std::uint64_t delta = 0;
    for (std::size_t changes = random() % 6; changes > 0; --changes) {
      const std::size_t at = 1 + random() % (words.size() - 1);
      const std::uint16_t after = word();
      delta += word_delta(words[at], after);
      words[at] = after;
    }
    const std::uint16_t after = whole(words);
    ASSERT_EQ(updated_checksum(before, fold(delta)), after) << "round " << round;

    // UDP: a sum of zero is sent as all ones, in both places.
    const std::uint16_t sent_before = before == 0 ? 0xffff : before;
    const std::uint16_t sent_after = after == 0 ? 0xffff : after;
    ASSERT_EQ(updated_udp_checksum(sent_before, fold(delta)), sent_after) << "round " << round;
  }
}

TEST(Checksum, NoUdpChecksumStaysNone) {
  for (std::uint32_t delta = 0; delta <= 0xffff; ++delta) {
    ASSERT_EQ(updated_udp_checksum(0, static_cast<std::uint16_t>(delta)), 0);
  }
}

TEST(Checksum, EveryBitOfAHeaderCounts) {
  std::array<std::uint16_t, 10> header{0x0045, 0x3412, 0x7856, 0x0040, 0x1140,
                                       0,      0x12c6, 0x0100, 0x71cb, 0x1400};
  header[5] = checksum(std::as_bytes(std::span(header)));
  const auto* const bytes = reinterpret_cast<const std::byte*>(header.data());
  EXPECT_TRUE(ipv4_checksum_ok(bytes));
  for (std::size_t bit = 0; bit < 160; ++bit) {
    header[bit / 16] = static_cast<std::uint16_t>(header[bit / 16] ^ 1U << bit % 16);
    EXPECT_FALSE(ipv4_checksum_ok(bytes)) << "bit " << bit;
    header[bit / 16] = static_cast<std::uint16_t>(header[bit / 16] ^ 1U << bit % 16);
  }
}

}  // namespace
}  // namespace millrace

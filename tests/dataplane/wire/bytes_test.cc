// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire/bytes.h"

#include <algorithm>
#include <array>

#include <gtest/gtest.h>

#include "tests/exact.h"

namespace millrace {
namespace {

constexpr std::array kWire{std::byte{0x12}, std::byte{0x34}, std::byte{0x56}, std::byte{0x78},
                           std::byte{0x9a}, std::byte{0xbc}, std::byte{0xde}};

TEST(Bytes, NumbersAreReadInNetworkOrderAtAnyAddress) {
  EXPECT_EQ(load_be16(kWire.data()), 0x1234);
  EXPECT_EQ(load_be16(kWire.data() + 1), 0x3456);
  EXPECT_EQ(load_be32(kWire.data()), 0x12345678U);
  EXPECT_EQ(load_be32(kWire.data() + 3), 0x789abcdeU);
  EXPECT_EQ(load<Be32>(kWire.data() + 1).host(), 0x3456789aU);
}

TEST(Bytes, NothingBeyondTheValueIsRead) {
  for (std::size_t at = 0; at < 4; ++at) {
    const std::span<const std::byte> wire(kWire.data(), at + 4);
    const Exact exact(wire);
    EXPECT_EQ(load_be32(exact.bytes().data() + at), load_be32(kWire.data() + at)) << at;
  }
  const Exact all(std::span<const std::byte>{kWire});
  EXPECT_EQ((load<std::array<std::byte, 7>>(all.bytes().data())), kWire);
}

TEST(Bytes, StoreRoundTripsAndKeepsTheNeighbours) {
  for (std::size_t at = 0; at + 4 <= kWire.size(); ++at) {
    auto bytes = kWire;
    store(bytes.data() + at, Be32(0xa1b2c3d4));
    EXPECT_EQ(load_be32(bytes.data() + at), 0xa1b2c3d4U);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const bool stored = i >= at && i < at + 4;
      EXPECT_TRUE(stored || bytes[i] == kWire[i]) << at << ' ' << i;
    }
  }
}

}  // namespace
}  // namespace millrace

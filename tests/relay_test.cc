// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/relay.h"

#include "tests/packet_lab.h"

namespace millrace::test {
namespace {

TEST(Relay, ForwardsBothWaysFromTheFirstPacketOn) {
  PacketLab lab;
  lab.flows.publish(path_ab(), kStart);
  const Bytes payload = rtp({});
  const auto to_b = lab.from_a(payload);
  ASSERT_TRUE(to_b);
  EXPECT_EQ(to_b->link, 1U);
  EXPECT_EQ(source_of(to_b->frame), kLocalB);
  EXPECT_EQ(destination_of(to_b->frame), kPartyB);
  Bytes expected = udp(kLocalB, kPartyB, payload);
  expected[8] = std::byte{63};
  std::uint16_t sum = 0;
  std::memcpy(expected.data() + 10, &sum, 2);
  sum = checksum(std::span(expected).first(20));
  std::memcpy(expected.data() + 10, &sum, 2);
  EXPECT_EQ(to_b->frame, ethernet(kMacB, kMac1, 0x0800, expected));

  const auto to_a = lab.from_b(payload);
  ASSERT_TRUE(to_a);
  EXPECT_EQ(to_a->link, 0U);
  EXPECT_EQ(source_of(to_a->frame), kLocalA);
  EXPECT_EQ(destination_of(to_a->frame), kPartyA);
  EXPECT_EQ(lab.stats.relayed.value(), 2U);
  EXPECT_EQ(lab.dropped(), 0U);
}

}  // namespace
}  // namespace millrace::test

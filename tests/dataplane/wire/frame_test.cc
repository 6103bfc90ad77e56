// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire/frame.h"

#include <random>

#include "tests/dataplane/packet_lab.h"
#include "tests/exact.h"

namespace millrace::test {
namespace {

FrameClass classify_exact(std::span<const std::byte> frame, bool verified = false) {
  return classify(Exact(frame).bytes(), kMac0.word(), verified);
}

Bytes media() { return ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({}))); }

// `change` on the IPv4 header of a good frame, its checksum put right again.
template <typename Change>
Bytes with(Change change) {
  Bytes frame = media();
  change(frame);
  put16(frame, 24, 0);
  const std::uint16_t sum = checksum(std::span(frame).subspan(14, 20));
  std::memcpy(frame.data() + 24, &sum, 2);
  return frame;
}

TEST(Frame, DatagramIsAcceptedAndItsPrefixesRefused) {
  const Bytes frame = media();
  EXPECT_EQ(classify_exact(frame), FrameKind::udp);
  for (std::size_t n = 0; n < frame.size(); ++n) {
    const FrameClass prefix = classify_exact(std::span(frame).first(n));
    EXPECT_EQ(prefix, n < 42 ? DropReason::frame_truncated : DropReason::ip_header) << n;
  }
}

TEST(Frame, EthernetPaddingIsAccepted) {
  Bytes frame = ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, bytes_of({1})));
  frame.resize(60);
  EXPECT_EQ(classify_exact(frame), FrameKind::udp);
}

TEST(Frame, EachWrongFieldHasItsDropReason) {
  const auto set = [](std::size_t at, int value) {
    return with([&](Bytes& f) { f[at] = static_cast<std::byte>(value); });
  };
  EXPECT_EQ(classify_exact(set(0, 0x04)), DropReason::wrong_mac);
  EXPECT_EQ(classify_exact(set(5, 0x02)), DropReason::wrong_mac);
  EXPECT_EQ(classify_exact(set(12, 0x86)), DropReason::ethertype);
  EXPECT_EQ(classify_exact(with([](Bytes& f) { put16(f, 12, 0x8100); })), DropReason::vlan_tagged);
  EXPECT_EQ(classify_exact(with([](Bytes& f) { put16(f, 12, 0x88a8); })), DropReason::vlan_tagged);
  EXPECT_EQ(classify_exact(with([](Bytes& f) { put16(f, 12, 0x86dd); })), DropReason::ip_header);
  for (int b = 0; b < 256; ++b) {
    FrameClass expected = DropReason::ip_header;
    if (b == 0x45) expected = FrameKind::udp;
    if (b > 0x45 && b <= 0x4f) expected = DropReason::ip_options;
    EXPECT_EQ(classify_exact(set(14, b)), expected) << b;
    const bool fragment = b != 0 && b != 0x40 && b != 0x80 && b != 0xc0;
    EXPECT_EQ(classify_exact(set(20, b)),
              fragment ? FrameClass(DropReason::ip_fragment) : FrameKind::udp)
        << b;
    EXPECT_EQ(classify_exact(set(22, b)),
              b <= 1 ? FrameClass(DropReason::ttl_expired) : FrameKind::udp);
    expected = DropReason::ip_protocol;
    if (b == 17) expected = FrameKind::udp;
    if (b == 1) expected = FrameKind::icmp;
    EXPECT_EQ(classify_exact(set(23, b)), expected) << b;
  }
  EXPECT_EQ(classify_exact(set(21, 1)), DropReason::ip_fragment) << "last fragment";
}

TEST(Frame, LengthsMustAgree) {
  const std::size_t right = media().size() - 14;
  for (std::size_t total = 0; total < right + 20; ++total) {
    FrameClass expected = DropReason::udp_length;
    if (total < 28 || total > right) expected = DropReason::ip_header;
    if (total == right) expected = FrameKind::udp;
    EXPECT_EQ(classify_exact(with([&](Bytes& f) { put16(f, 16, total); })), expected) << total;
  }
  for (std::size_t udp = 0; udp <= 0xffff; udp += udp < 200 ? 1 : 97) {
    const FrameClass got = classify_exact(with([&](Bytes& f) { put16(f, 38, udp); }));
    EXPECT_EQ(got, udp == right - 20 ? FrameClass(FrameKind::udp) : DropReason::udp_length) << udp;
  }
  // 65,516 + 20 is 0 in sixteen bits; no total length is 0.
  EXPECT_NE(classify_exact(with([](Bytes& f) { put16(f, 38, 65'516); })), FrameKind::udp);
}

TEST(Frame, EveryFlippedBitOfTheIpHeaderIsDetected) {
  for (std::size_t bit = 0; bit < 160; ++bit) {
    Bytes frame = media();
    frame[14 + bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    EXPECT_NE(classify_exact(frame), FrameKind::udp) << bit;
  }
  Bytes frame = media();
  frame[30] ^= std::byte{1};
  EXPECT_EQ(classify_exact(frame), DropReason::ip_checksum);
  EXPECT_EQ(classify_exact(frame, true), FrameKind::udp) << "checked by the NIC";
}

TEST(Frame, ArpIsAcceptedByBroadcastOrToOurMac) {
  const Bytes body(28, std::byte{0});
  EXPECT_EQ(classify_exact(ethernet(kBroadcast, kMacA, 0x0806, body)), FrameKind::arp);
  EXPECT_EQ(classify_exact(ethernet(kMac0, kMacA, 0x0806, body)), FrameKind::arp);
  EXPECT_EQ(classify_exact(ethernet(kMac1, kMacA, 0x0806, body)), DropReason::wrong_mac);
  EXPECT_EQ(classify_exact(ethernet(kBroadcast, kMacA, 0x0800, udp(kPartyA, kLocalA, rtp({})))),
            DropReason::wrong_mac);
}

// ---- IPv6 --------------------------------------------------------------------------------------

constexpr MacAddress kGroupMac{{0x33, 0x33, 0xff, 0, 0, 1}};

Bytes media6() { return ethernet(kMac0, kMacA, 0x86dd, udp(kPartyA6, kLocalA6, rtp({}))); }

TEST(Frame6, DatagramIsAcceptedAndItsPrefixesRefused) {
  const Bytes frame = media6();
  EXPECT_EQ(classify_exact(frame), FrameKind::udp6);
  for (std::size_t n = 0; n < frame.size(); ++n) {
    const FrameClass prefix = classify_exact(std::span(frame).first(n));
    EXPECT_EQ(prefix, n < 62 ? DropReason::frame_truncated : DropReason::ip_header) << n;
  }
  Bytes padded = ethernet(kMac0, kMacA, 0x86dd, udp(kPartyA6, kLocalA6, Bytes{}));
  padded.resize(90);
  EXPECT_EQ(classify_exact(padded), FrameKind::udp6);
}

TEST(Frame6, EachWrongFieldHasItsDropReason) {
  const auto set = [](std::size_t at, int value) {
    Bytes frame = media6();
    frame[at] = static_cast<std::byte>(value);
    return classify_exact(frame);
  };
  EXPECT_EQ(set(5, 0x02), DropReason::wrong_mac);
  for (int b = 0; b < 256; ++b) {
    EXPECT_EQ(set(14, b), b >> 4 == 6 ? FrameClass(FrameKind::udp6) : DropReason::ip_header) << b;
    EXPECT_EQ(set(21, b), b <= 1 ? FrameClass(DropReason::ttl_expired) : FrameKind::udp6) << b;
    FrameClass expected = DropReason::ip_protocol;
    if (b == 17) expected = FrameKind::udp6;
    if (b == 58) expected = FrameKind::icmp6;
    if (b == 44) expected = DropReason::ip_fragment;
    for (const int extension : {0, 43, 50, 51, 60, 135}) {
      if (b == extension) expected = DropReason::ip_extension;
    }
    EXPECT_EQ(set(20, b), expected) << b;
  }
  Bytes without = media6();
  put16(without, 60, 0);
  EXPECT_EQ(classify_exact(without), DropReason::udp_checksum_missing);
  EXPECT_EQ(classify_exact(without, true), DropReason::udp_checksum_missing);
}

TEST(Frame6, LengthsMustAgree) {
  const std::size_t right = media6().size() - 54;
  for (std::size_t length = 0; length <= 0xffff; length += length < 200 ? 1 : 97) {
    Bytes frame = media6();
    put16(frame, 18, length);
    FrameClass expected = DropReason::udp_length;
    if (length < 8 || length > right) expected = DropReason::ip_header;
    if (length == right) expected = FrameKind::udp6;
    EXPECT_EQ(classify_exact(frame), expected) << length;
    frame = media6();
    put16(frame, 58, length);
    EXPECT_EQ(classify_exact(frame),
              length == right ? FrameClass(FrameKind::udp6) : DropReason::udp_length)
        << length;
  }
}

TEST(Frame6, MulticastIsAcceptedForNeighbourDiscoveryOnly) {
  const Bytes solicitation = ipv6(kPartyA6.address, kLocalA6.address, 58, Bytes(24));
  EXPECT_EQ(classify_exact(ethernet(kGroupMac, kMacA, 0x86dd, solicitation)), FrameKind::icmp6);
  EXPECT_EQ(classify_exact(ethernet(kMac0, kMacA, 0x86dd, solicitation)), FrameKind::icmp6);
  EXPECT_EQ(classify_exact(ethernet(kMac1, kMacA, 0x86dd, solicitation)), DropReason::wrong_mac);
  EXPECT_EQ(classify_exact(ethernet(kBroadcast, kMacA, 0x86dd, solicitation)),
            DropReason::wrong_mac);
  for (const int next : {0, 17, 6}) {  // listener reports have a hop-by-hop header
    const Bytes other =
        ipv6(kPartyA6.address, kLocalA6.address, static_cast<std::uint8_t>(next), Bytes(24));
    EXPECT_EQ(classify_exact(ethernet(kGroupMac, kMacA, 0x86dd, other)), DropReason::wrong_mac);
  }
}

TEST(Frame, RandomBytesAreReadWithinBounds) {
  std::mt19937 random{5};
  for (int i = 0; i < 100'000; ++i) {
    Bytes frame = i % 2 == 0 ? media() : media6();
    for (std::size_t k = random() % 6; k > 0; --k) {
      frame[random() % frame.size()] = static_cast<std::byte>(random());
    }
    frame.resize(random() % (frame.size() + 1));
    const FrameClass got = classify_exact(frame, random() % 2 == 0);
    if (got.kind == FrameKind::udp) {
      ASSERT_GE(frame.size(), 42U);
      ASSERT_LE(get16(frame, 16) + 14U, frame.size());
      ASSERT_EQ(get16(frame, 38) + 20U, get16(frame, 16));
    }
    if (got.kind == FrameKind::udp6 || got.kind == FrameKind::icmp6) {
      ASSERT_GE(frame.size(), 62U);
      ASSERT_LE(get16(frame, 18) + 54U, frame.size());
    }
    if (got.kind == FrameKind::udp6) {
      ASSERT_EQ(get16(frame, 58), get16(frame, 18));
      ASSERT_NE(get16(frame, 60), 0);
    }
  }
}

// Every plain frame is a datagram. No mutation tested here is a datagram but not plain.
template <Family F>
void expect_plain_is_a_datagram(const Bytes& good, FrameKind kind) {
  const PlainDatagram<F> plain(kMac0);
  ASSERT_TRUE(plain.matches(Exact(good).bytes(), false));
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(plain.matches(Exact(std::span(good).first(n)).bytes(), true)) << n;
  }
  std::mt19937 random(1);
  std::size_t matched = 0;
  for (int i = 0; i < 200'000; ++i) {
    Bytes frame = good;
    for (auto changes = 1 + random() % 2; changes > 0; --changes) {
      frame[random() % udp_headers(F)] ^= static_cast<std::byte>(1U << random() % 8);
    }
    for (const bool verified : {false, true}) {
      if (!plain.matches(frame, verified)) continue;
      ++matched;
      ASSERT_EQ(classify(frame, kMac0.word(), verified), kind);
    }
  }
  EXPECT_GT(matched, 0U);
}

TEST(PlainDatagram, IsClassifiedAsADatagram) {
  expect_plain_is_a_datagram<Family::ipv4>(media(), FrameKind::udp);
  const Bytes six = ethernet(kMac0, kMacA, 0x86dd, udp(kPartyA6, kLocalA6, rtp({})));
  expect_plain_is_a_datagram<Family::ipv6>(six, FrameKind::udp6);
}

TEST(PlainDatagram, FillsItsFrameAndMayBeRtp) {
  const PlainDatagram<Family::ipv4> plain(kMac0);
  Bytes padded = media();
  padded.resize(padded.size() + 1);
  EXPECT_FALSE(plain.matches(padded, false));
  const auto of = [](std::size_t size) {
    return ethernet(kMac0, kMacA, 0x0800, udp(kPartyA, kLocalA, Bytes(size)));
  };
  EXPECT_FALSE(plain.matches(of(11), false));
  EXPECT_TRUE(plain.matches(of(12), false));
  EXPECT_FALSE(PlainDatagram<Family::ipv4>(kMac1).matches(media(), false));
}

}  // namespace
}  // namespace millrace::test

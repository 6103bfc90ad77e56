// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/wire/datagram.h"

#include <algorithm>
#include <random>

#include "dataplane/wire/frame.h"
#include "tests/dataplane/packet_lab.h"

namespace millrace::test {
namespace {

constexpr Macs kMacs{.from = kMac0, .to = kMacA};

// In a buffer of the exact size.
Bytes written(const Endpoint& from, const Endpoint& to, const Bytes& payload) {
  const std::size_t headers = udp_headers(from.address.family());
  Bytes frame(headers + payload.size(), std::byte{0xee});
  std::ranges::copy(payload, frame.begin() + static_cast<std::ptrdiff_t>(headers));
  EXPECT_EQ(write_datagram(frame.data(), kMacs, from, to, payload.size()), frame.size());
  return frame;
}

// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): as a generator (size, seed)
Bytes random_payload(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes payload(size);
  std::ranges::generate(payload, [&] { return static_cast<std::byte>(random()); });
  return payload;
}

TEST(Datagram, WritesTheExpectedIpv4Bytes) {
  const Bytes frame = written({IpAddress::v4(192, 0, 2, 1), UdpPort(30000)},
                              {IpAddress::v4(198, 51, 100, 7), UdpPort(4000)}, bytes_of({1, 2, 3}));
  EXPECT_EQ(
      frame,
      bytes_of({0x02, 0,  0,   0,  0,    0x0a, 0x02, 0,    0,  0,  0,    0x01, 0x08, 0x00,        //
                0x45, 0,  0,   31, 0,    0,    0x40, 0,    64, 17, 0x4e, 0x92, 192,  0,    2, 1,  //
                198,  51, 100, 7,  0x75, 0x30, 0x0f, 0xa0, 0,  11, 0x8a, 0xc9, 1,    2,    3}));
}

// Matches the tests' own builder, which does not use DPDK's checksums, and is classified as UDP.
TEST(Datagram, WritesEverySizeInBothFamilies) {
  for (std::size_t size = 0; size < 300; ++size) {
    const Bytes payload = random_payload(size, size);
    const Bytes v4 = written(kLocalA, kPartyA, payload);
    EXPECT_EQ(udp_checksum(Bytes(v4.begin() + 14, v4.end())), 0) << size;
    EXPECT_EQ(checksum(std::span(v4).subspan(14, 20)), 0) << size;
    EXPECT_EQ(classify(v4, kMacA.word(), false), FrameKind::udp) << size;
    EXPECT_EQ(written(kLocalA6, kPartyA6, payload),
              ethernet(kMacA, kMac0, 0x86dd, udp(kLocalA6, kPartyA6, payload)))
        << size;
  }
}

// One of 65,536 payloads has a checksum of zero, which is sent as 0xffff (RFC 768).
TEST(Datagram, ItsChecksumIsNeverZero) {
  const auto field = [](const Bytes& frame, std::size_t udp) {
    return load<std::uint16_t>(frame.data() + udp + 6);
  };
  const Bytes zeros(2, std::byte{0});
  for (const auto& [from, to, udp] :
       {std::tuple{kLocalA, kPartyA, std::size_t{34}}, {kLocalA6, kPartyA6, std::size_t{54}}}) {
    // The checksum without the payload is the payload that makes the sum all ones.
    const std::uint16_t missing = field(written(from, to, zeros), udp);
    Bytes payload(2);
    std::memcpy(payload.data(), &missing, 2);
    EXPECT_EQ(field(written(from, to, payload), udp), 0xffff);
  }
}

}  // namespace
}  // namespace millrace::test

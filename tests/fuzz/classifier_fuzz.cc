// SPDX-License-Identifier: BSD-3-Clause
// Frames from Ethernet to UDP: what is called a datagram has its headers and lengths where the
// relay will read them.

#include <cstdint>
#include <span>

#include "dataplane/frame.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  const auto frame = std::as_bytes(std::span(data, size));
  const std::uint64_t own = MacAddress{{2, 0, 0, 0, 0, 1}}.word();
  const FrameClass strict = classify(frame, own, false);
  const FrameClass trusting = classify(frame, own, true);
  // A verified checksum can only let more through.
  if (strict.kind != FrameKind::drop) FUZZ_CHECK(strict == trusting);
  if (trusting.kind == FrameKind::arp) FUZZ_CHECK(size >= kUdpHeaders);
  if (trusting.kind == FrameKind::udp || trusting.kind == FrameKind::icmp) {
    FUZZ_CHECK(size >= kUdpHeaders);
    const std::size_t total = load_be16(frame.data() + 16);
    FUZZ_CHECK(total >= kIpv4Size + kUdpSize && kEtherSize + total <= size);
    FUZZ_CHECK(data[14] == 0x45 && data[0] == 2);
    if (trusting.kind == FrameKind::udp) {
      FUZZ_CHECK(load_be16(frame.data() + 38) + kIpv4Size == total);
      FUZZ_CHECK(data[22] > 1);
    }
  }
  if (strict.kind == FrameKind::udp) {
    FUZZ_CHECK(ones_sum(frame.subspan(kEtherSize, kIpv4Size)) == 0xffff);
  }
  return 0;
}

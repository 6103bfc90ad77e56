// SPDX-License-Identifier: BSD-3-Clause
// Datagrams on every kind of path: what is called RTP, RTCP or STUN fits the bytes it came in.

#include <cstdint>
#include <span>

#include "dataplane/content.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  using Kind = Evidence::Kind;
  const auto datagram = std::as_bytes(std::span(data, size));
  for (const std::uint32_t path :
       {0U, flow_flag::kRtp, flow_flag::kRtp | flow_flag::kMux, flow_flag::kRtcp}) {
    for (const std::uint32_t cipher : {0U, flow_flag::kCipher}) {
      const auto content = examine(datagram, path | cipher);
      if (path == 0) FUZZ_CHECK(content);
      if (!content || path == 0) continue;
      FUZZ_CHECK(content->kind != Kind::rtp || (size >= sizeof(RtpHeader) && data[0] >> 6 == 2));
      FUZZ_CHECK(content->kind != Kind::rtcp || (size >= sizeof(RtcpHeader) && data[0] >> 6 == 2));
      FUZZ_CHECK(content->kind != Kind::stun || (size >= 20 && size % 4 == 0));
      FUZZ_CHECK(content->kind != Kind::rtp || path != flow_flag::kRtcp);
      // What is plain and well-formed is so under encryption, where less is looked at.
      if (cipher == 0) FUZZ_CHECK(examine(datagram, path | flow_flag::kCipher));
    }
  }
  return 0;
}

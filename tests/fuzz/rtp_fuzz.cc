// SPDX-License-Identifier: BSD-3-Clause
// Datagrams on every kind of path: what is called RTP, RTCP or STUN fits the bytes it came in, and
// so does what is read of its reports and silenced of its samples.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/flow/quality.h"
#include "dataplane/relay/blocking.h"
#include "dataplane/relay/content.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace;

constexpr std::size_t kUdpHeader = 8;

std::uint32_t word_at(std::span<const std::byte> datagram, std::size_t at) {
  std::uint32_t raw;
  std::memcpy(&raw, datagram.data() + at, sizeof raw);
  return Be32::from_raw(raw).host();
}

// On an exact-size copy: the UDP header before the payload, nothing after it.
void silence(std::span<const std::byte> datagram, const Content& content, std::uint32_t path) {
  std::vector<std::byte> packet(kUdpHeader + datagram.size());
  std::ranges::copy(datagram, packet.begin() + kUdpHeader);
  const std::span payload = std::span(packet).subspan(kUdpHeader);
  if (apply_blocking(payload, content, path | flow_flag::kSilenced, Record{})) return;
  const std::size_t same =
      content.kind == Evidence::Kind::rtp ? sizeof(RtpHeader) : datagram.size();
  FUZZ_CHECK(std::ranges::equal(payload.first(same), datagram.first(same)));
}

// A report on the stream of its first block, answering the report that its LSR names.
void read_reports(std::span<const std::byte> datagram) {
  constexpr std::uint64_t kHz = 2'000'000'000;
  constexpr std::size_t kFirstBlock = 8, kLsr = 16;
  Quality own, peer;
  std::optional<std::uint32_t> stream;
  if (datagram.size() >= kFirstBlock + kLsr + 4) {
    stream = word_at(datagram, kFirstBlock);
    peer.report_ntp = word_at(datagram, kFirstBlock + kLsr);
    peer.leg_last = 20'000;
  }
  note_reports(datagram, own, peer, stream, 8000, Tsc{100 * kHz}, kHz);
  if (const auto report = report_of(own, Tsc{100 * kHz}, kHz)) {
    FUZZ_CHECK(report->average.loss_percent < 100);
    FUZZ_CHECK(report->complete <= report->samples);
    const unsigned least = report->complete == 0 ? 0 : 10, most = report->complete == 0 ? 0 : 50;
    FUZZ_CHECK(report->average.mos_tenths >= least && report->average.mos_tenths <= most);
    FUZZ_CHECK(report->lowest.mos_tenths <= report->highest.mos_tenths);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using Kind = Evidence::Kind;
  const auto datagram = std::as_bytes(std::span(data, size));
  for (const std::uint32_t path :
       {0U, flow_flag::kRtp, flow_flag::kRtp | flow_flag::kMux, flow_flag::kRtcp}) {
    for (const std::uint32_t cipher : {0U, flow_flag::kCipher}) {
      const auto content = examine(datagram, path | cipher);
      if (path == 0) FUZZ_CHECK(content);
      if (content && cipher == 0) silence(datagram, *content, path);
      if (!content || path == 0) continue;
      if (cipher == 0 && content->kind == Kind::rtcp) read_reports(datagram);
      FUZZ_CHECK(content->kind != Kind::rtp || (size >= sizeof(RtpHeader) && data[0] >> 6 == 2));
      FUZZ_CHECK(content->kind != Kind::rtcp || (size >= sizeof(RtcpHeader) && data[0] >> 6 == 2));
      FUZZ_CHECK(content->kind != Kind::stun || (size >= 20 && size % 4 == 0));
      FUZZ_CHECK(content->kind != Kind::rtp || path != flow_flag::kRtcp);
      // Well-formed plain content is well-formed as encrypted content, where fewer checks apply.
      if (cipher == 0) FUZZ_CHECK(examine(datagram, path | flow_flag::kCipher));
    }
  }
  return 0;
}

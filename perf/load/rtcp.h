// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// RTCP of a phone: a compound of a sender report with one report block, and an SDES CNAME (RFC 3550
// sections 6.4.1 and 6.5.1). Its NTP time is the send time.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "perf/load/wire.h"

namespace millrace::loadgen {

inline constexpr std::size_t kRtcpSize = 8 + 20 + 24 + 16;  // header, sender, block, CNAME

struct SenderReport {
  std::uint32_t ssrc = 0;
  std::uint64_t ntp = 0;
  std::uint32_t timestamp = 0;
  std::uint32_t packets = 0, bytes = 0;

  // The block on the other party's stream.
  std::uint32_t peer_ssrc = 0;
  std::uint8_t fraction_lost = 0;  // of 256
  std::uint32_t lost = 0;          // 24 bits
  std::uint32_t highest = 0;
  std::uint32_t jitter = 0;             // timestamp units
  std::uint32_t last_report = 0;        // middle of its NTP time
  std::uint32_t since_last_report = 0;  // 1/65536 s
};

[[nodiscard]] std::uint64_t ntp_time(Stamp stamp);
[[nodiscard]] Stamp stamp_of_ntp(std::uint64_t ntp);

void write_report(std::span<std::byte, kRtcpSize> to, const SenderReport& report);
// Parses the sender's part of a report by write_report(). Nothing for any other datagram.
[[nodiscard]] std::optional<SenderReport> read_report(std::span<const std::byte> datagram);

}  // namespace millrace::loadgen

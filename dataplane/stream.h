// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The statistics of one RTP stream, kept for every packet (RFC 3550 appendix A).
//
// A.1 keeps the extended highest sequence number, with MAX_DROPOUT 3000 and MAX_MISORDER 100; a
// stream counts from its first packet, since latching has vetted its sender. A.8 keeps the jitter
// in timestamp units, scaled by 16. A new SSRC starts afresh: what was expected of the former ones
// is added up, so that loss (A.3) is over the whole flow. Packets received are not counted here:
// they are the admitted ones less Record::not_received.

#include <cstdint>

#include "dataplane/flow.h"
#include "dataplane/rtp.h"

namespace millrace {

inline constexpr std::uint16_t kMaxDropout = 3000;
inline constexpr std::uint16_t kMaxMisorder = 100;

__extension__ using Wide = unsigned __int128;

// RTP timestamp units a tick, times 2^40. A clock beyond what fits (7.8 MHz at 2 GHz) is no clock
// of audio or video and counts as the largest that does.
[[nodiscard]] inline std::uint32_t clock_rate_of(std::uint32_t clock_hz, std::uint64_t tsc_hz) {
  const Wide rate = (static_cast<Wide>(clock_hz) << 40) / tsc_hz;
  return rate > 0xffffffff ? 0xffffffff : static_cast<std::uint32_t>(rate);
}

// An arrival time in RTP timestamp units, modulo 2^32.
[[nodiscard]] inline std::uint32_t arrival_of(std::uint64_t ticks, std::uint32_t clock_rate) {
  return static_cast<std::uint32_t>((static_cast<Wide>(ticks) * clock_rate) >> 40);
}

// A packet that does not simply follow: the first one of an SSRC, a late one, or one far off.
// False if it is not to be counted (A.1: the first after a large jump).
[[nodiscard]] bool note_unusual(SeenLine& seen, Record& record, const RtpHeader& header,
                                std::uint32_t arrival);

inline void note_rtp(SeenLine& seen, Record& record, const RtpHeader& header,
                     std::uint32_t arrival) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  seen.payload_type.store(header.payload_type(), kRelaxed);
  const std::uint64_t stream = seen.stream.load(kRelaxed);
  const auto highest = static_cast<std::uint32_t>(stream >> 32);
  const std::uint32_t ssrc = header.ssrc.host();
  const auto ahead =
      static_cast<std::uint16_t>(header.sequence.host() - static_cast<std::uint16_t>(highest));
  if (seen.started.load(kRelaxed) != 0 && static_cast<std::uint32_t>(stream) == ssrc &&
      ahead < kMaxDropout) [[likely]] {
    // The carry of the addition counts the cycles.
    seen.stream.store(std::uint64_t{highest + ahead} << 32 | ssrc, kRelaxed);
  } else if (!note_unusual(seen, record, header, arrival)) {
    return;
  }
  const std::uint64_t timing = seen.timing.load(kRelaxed);
  const std::uint32_t transit = arrival - header.timestamp.host();
  const auto change = static_cast<std::int32_t>(transit - static_cast<std::uint32_t>(timing));
  const auto distance =
      change < 0 ? 0U - static_cast<std::uint32_t>(change) : static_cast<std::uint32_t>(change);
  auto jitter = static_cast<std::uint32_t>(timing >> 32);
  jitter += distance - ((jitter + 8) >> 4);
  seen.timing.store(std::uint64_t{jitter} << 32 | transit, kRelaxed);
}

}  // namespace millrace

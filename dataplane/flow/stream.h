// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The statistics of one RTP stream, kept for every packet (RFC 3550 appendix A).
//
// A.1 keeps the extended highest sequence number, with MAX_DROPOUT 3000 and MAX_MISORDER 100; a
// stream counts from its first packet, since latching has vetted its sender. A.8 keeps the jitter
// in timestamp units, scaled by 16. A new SSRC starts afresh: what was expected of the former ones
// is added up, so that loss (A.3) is over the whole flow. Packets received are not counted here:
// they are the admitted ones less Record::not_received.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/flow/flow.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/rtp.h"

namespace millrace {

inline constexpr std::uint16_t kMaxDropout = 3000;
inline constexpr std::uint16_t kMaxMisorder = 100;

// RTP timestamp units in 256 ticks, times 2^32. A clock beyond what fits (7.8 MHz at 2 GHz) is no
// clock of audio or video and counts as the largest that does.
[[nodiscard]] inline std::uint32_t clock_rate_of(std::uint32_t clock_hz, std::uint64_t tsc_hz) {
  const std::uint64_t rate = (std::uint64_t{clock_hz} << 32) / (tsc_hz / 256);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(rate, 0xffffffff));
}

// The clock that clock_rate_of() was given, but for rounding.
[[nodiscard]] inline std::uint32_t clock_of(std::uint32_t clock_rate, std::uint64_t tsc_hz) {
  return static_cast<std::uint32_t>((std::uint64_t{clock_rate} * (tsc_hz / 256) + (1ULL << 31)) >>
                                    32);
}

// An arrival time in RTP timestamp units, modulo 2^32.
[[nodiscard]] inline std::uint32_t arrival_of(std::uint64_t ticks, std::uint32_t clock_rate) {
  return static_cast<std::uint32_t>((ticks / 256 * clock_rate) >> 32);
}

// An admitted datagram of any kind.
[[gnu::always_inline]] inline void note_datagram(SeenLine& seen, std::size_t bytes,
                                                 std::uint64_t ticks) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  seen.packets.store(seen.packets.load(kRelaxed) + 1, kRelaxed);
  seen.bytes.store(seen.bytes.load(kRelaxed) + bytes, kRelaxed);
  seen.last.store(ticks, kRelaxed);
}

// The first two bytes of a stream's usual packets, but for the marker: version 2, neither padding,
// extension nor CSRCs, and the payload type. Types that with a marker would be RTCP's on a shared
// port (RFC 5761 section 4) have no usual packets: their version is left out.
inline constexpr std::uint16_t kMarker = 0x80;
[[nodiscard]] inline std::uint16_t beginning_of(std::uint8_t payload_type) {
  const bool shared = is_rtcp_type(std::byte{payload_type} | std::byte{0x80});
  return static_cast<std::uint16_t>((shared ? 0 : 0x8000) | payload_type);
}
[[nodiscard]] inline std::uint8_t payload_type_of(std::uint16_t beginning) {
  return static_cast<std::uint8_t>(beginning & 0x7f);
}

// Whether a packet is the usual one, which makes `latest` the stream's: it begins as the stream's
// last one did, has its SSRC and the next sequence number. `header` is as long as one of RTP,
// whatever it is.
[[nodiscard, gnu::always_inline]] inline bool is_usual(const SeenLine& seen,
                                                       const std::byte* header, Latest latest) {
  const std::uint32_t beginning_and_sequence = load_be32(header);
  const std::uint32_t found = std::rotl(beginning_and_sequence, 16) & ~std::uint32_t{kMarker};
  return found == static_cast<std::uint32_t>(latest.raw()) &&
         load_be32(header + 8) ==
             static_cast<std::uint32_t>(seen.sender.load(std::memory_order_relaxed));
}

// A.8, for a packet that is counted.
[[gnu::always_inline]] inline void note_jitter(SeenLine& seen, std::uint32_t timestamp,
                                               std::uint32_t arrival) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const std::uint32_t transit = arrival - timestamp;
  const std::uint32_t change = transit - seen.transit.load(kRelaxed);
  const auto sign = static_cast<std::uint32_t>(static_cast<std::int32_t>(change) >> 31);
  const std::uint32_t distance = (change ^ sign) - sign;
  const std::uint32_t jitter = seen.jitter.load(kRelaxed);
  seen.transit.store(transit, kRelaxed);
  seen.jitter.store(jitter + distance - ((jitter + 8) >> 4), kRelaxed);
}

// The usual packet.
[[gnu::always_inline]] inline void note_next(SeenLine& seen, const std::byte* header, Latest latest,
                                             std::uint32_t arrival) {
  seen.latest.store(latest.raw(), std::memory_order_relaxed);
  note_jitter(seen, load_be32(header + 4), arrival);
}

// A packet of the known SSRC, next or a little further on. False, with nothing counted, if it is
// not one.
[[nodiscard]] inline bool note_usual(SeenLine& seen, RtpFields rtp, std::uint64_t ticks,
                                     std::uint32_t clock_rate) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const std::uint32_t highest = seen.highest();
  const auto ahead = static_cast<std::uint16_t>(rtp.sequence - static_cast<std::uint16_t>(highest));
  if (seen.sender.load(kRelaxed) != (kKnownSender | rtp.ssrc) || ahead >= kMaxDropout) return false;
  seen.latest.store(Latest(highest + ahead, beginning_of(rtp.payload_type)).raw(), kRelaxed);
  note_jitter(seen, rtp.timestamp, arrival_of(ticks, clock_rate));
  return true;
}

// Any other packet: the first one of an SSRC, a late one, or one far off.
void note_unusual(SeenLine& seen, Record& record, RtpFields rtp, std::uint64_t ticks,
                  std::uint32_t clock_rate);

}  // namespace millrace

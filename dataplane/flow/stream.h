// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Statistics of one RTP stream, updated per packet (RFC 3550 appendix A).
//
// A.1: the extended highest sequence number, with MAX_DROPOUT 3000 and MAX_MISORDER 100. A stream
// counts from its first packet, since latching has checked its sender. A.8: the jitter in timestamp
// units, scaled by 16. A new SSRC restarts both. The expected packets of former SSRCs are summed,
// so that loss (A.3) covers the whole flow. Received packets are not counted here: they are the
// admitted packets less Record::not_received. Events (RFC 4733) keep the timestamp of their start
// in all packets, so they count in the sequence and not in the jitter. On an opaque path a datagram
// may look like RTP by chance, so that a stream counts from its second packet.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/flow/flow.h"
#include "dataplane/tsc.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/rtp.h"

namespace millrace {

inline constexpr std::uint16_t kMaxDropout = 3000;
inline constexpr std::uint16_t kMaxMisorder = 100;

// RTP timestamp units per 256 ticks, times 2^32. Saturates above 7.8 MHz at a TSC of 2 GHz, beyond
// any audio or video clock.
[[nodiscard]] inline std::uint32_t clock_rate_of(std::uint32_t clock_hz, std::uint64_t tsc_hz) {
  const std::uint64_t rate = (std::uint64_t{clock_hz} << 32) / (tsc_hz / 256);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(rate, 0xffffffff));
}

// Inverse of clock_rate_of(), except for rounding.
[[nodiscard]] inline std::uint32_t clock_of(std::uint32_t clock_rate, std::uint64_t tsc_hz) {
  return static_cast<std::uint32_t>((std::uint64_t{clock_rate} * (tsc_hz / 256) + (1ULL << 31)) >>
                                    32);
}

// An arrival time in RTP timestamp units, modulo 2^32.
[[nodiscard]] inline std::uint32_t arrival_of(std::uint64_t ticks, std::uint32_t clock_rate) {
  return static_cast<std::uint32_t>((ticks / 256 * clock_rate) >> 32);
}

// An admitted datagram of any kind.
[[gnu::always_inline]] inline void note_datagram(SeenLine& seen, std::size_t bytes, Tsc now) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  seen.packets.store(seen.packets.load(kRelaxed) + 1, kRelaxed);
  seen.bytes.store(seen.bytes.load(kRelaxed) + bytes, kRelaxed);
  seen.last.store(now.ticks, kRelaxed);
}

// First two bytes of a stream's usual packets, without the marker: version 2, no padding, extension
// or CSRCs, then the payload type. Payload types that conflict with RTCP on a shared port if the
// marker is set (RFC 5761 section 4) have no usual packets: version 0 never matches.
inline constexpr std::uint16_t kMarker = 0x80;
[[nodiscard]] inline std::uint16_t beginning_of(std::uint8_t payload_type) {
  const bool shared = is_rtcp_type(std::byte{payload_type} | std::byte{0x80});
  return static_cast<std::uint16_t>((shared ? 0 : 0x8000) | payload_type);
}
[[nodiscard]] inline std::uint8_t payload_type_of(std::uint16_t beginning) {
  return static_cast<std::uint8_t>(beginning & 0x7f);
}

// True for the usual packet: first two bytes as `latest`, the stream's SSRC and the next sequence
// number. `latest` is then the stream's new value. Precondition: `header` has the length of an RTP
// header.
[[nodiscard, gnu::always_inline]] inline bool is_usual(const SeenLine& seen,
                                                       const std::byte* header, Latest latest) {
  const std::uint32_t beginning_and_sequence = load_be32(header);
  const std::uint32_t found = std::rotl(beginning_and_sequence, 16) & ~std::uint32_t{kMarker};
  return found == static_cast<std::uint32_t>(latest.raw()) &&
         load_be32(header + 8) ==
             static_cast<std::uint32_t>(seen.sender.load(std::memory_order_relaxed));
}

// A.8, per counted packet.
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

// Updates by a packet that is_usual().
[[gnu::always_inline]] inline void note_next(SeenLine& seen, const std::byte* header, Latest latest,
                                             std::uint32_t arrival) {
  seen.latest.store(latest.raw(), std::memory_order_relaxed);
  note_jitter(seen, load_be32(header + 4), arrival);
}

// Updates by a packet of the known SSRC, ahead by less than kMaxDropout. False for any other
// packet, without an update.
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

// Updates by any other packet: first of an SSRC, late, or after a large jump.
void note_unusual(SeenLine& seen, Record& record, RtpFields rtp, std::uint64_t ticks,
                  std::uint32_t clock_rate);
// Updates by a datagram of an opaque path that reads as RTP. False if it is not counted: the first
// of an SSRC, which another one in sequence has to follow (A.1, MIN_SEQUENTIAL).
[[nodiscard]] bool note_probable(SeenLine& seen, Record& record, RtpFields rtp, std::uint64_t ticks,
                                 std::uint32_t clock_rate);
// Updates by any packet of an event. The next one is not is_usual().
void note_event(SeenLine& seen, Record& record, RtpFields rtp, std::uint64_t ticks,
                std::uint32_t clock_rate);

}  // namespace millrace

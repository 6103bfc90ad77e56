// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/flow/stream.h"

namespace millrace {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr std::uint32_t kSequenceModulus = 1U << 16;
constexpr std::uint32_t kNoBadSequence = kSequenceModulus + 1;  // matches no sequence number

void restart(SeenLine& seen, Record& record, RtpFields rtp, std::uint32_t arrival) {
  const std::uint64_t sender = seen.sender.load(kRelaxed);
  if (sender != 0) {
    const std::uint32_t expected = seen.highest() - seen.base.load(kRelaxed) + 1;
    record.past_expected.fetch_add(expected, kRelaxed);
  }
  if (sender != (kKnownSender | rtp.ssrc)) seen.jitter.store(0, kRelaxed);
  seen.latest.store(Latest(rtp.sequence, beginning_of(rtp.payload_type)).raw(), kRelaxed);
  seen.base.store(rtp.sequence, kRelaxed);
  seen.bad_sequence.store(kNoBadSequence, kRelaxed);
  seen.transit.store(arrival - rtp.timestamp, kRelaxed);
  seen.sender.store(kKnownSender | rtp.ssrc, kRelaxed);
}

// A.1 for a packet that does not follow in sequence. False for the first packet after a large jump,
// which is not counted.
bool update_sequence(SeenLine& seen, Record& record, RtpFields rtp, std::uint32_t arrival) {
  if (seen.sender.load(kRelaxed) != (kKnownSender | rtp.ssrc)) {
    restart(seen, record, rtp, arrival);
    return true;
  }
  const auto highest = static_cast<std::uint16_t>(seen.highest());
  const auto ahead = static_cast<std::uint16_t>(rtp.sequence - highest);
  if (ahead > kSequenceModulus - kMaxMisorder) return true;  // late or duplicate

  // Second consecutive packet: the sender restarted its sequence without a new SSRC.
  if (seen.bad_sequence.load(kRelaxed) == rtp.sequence) {
    restart(seen, record, rtp, arrival);
    return true;
  }
  seen.bad_sequence.store(static_cast<std::uint16_t>(rtp.sequence + 1), kRelaxed);
  record.not_received.fetch_add(1, kRelaxed);
  return false;
}

}  // namespace

void note_unusual(SeenLine& seen, Record& record, RtpFields rtp, std::uint64_t ticks,
                  std::uint32_t clock_rate) {
  const std::uint32_t arrival = arrival_of(ticks, clock_rate);
  seen.latest.store(Latest(seen.highest(), beginning_of(rtp.payload_type)).raw(), kRelaxed);
  if (update_sequence(seen, record, rtp, arrival)) note_jitter(seen, rtp.timestamp, arrival);
}

bool note_probable(SeenLine& seen, Record& record, RtpFields rtp, std::uint64_t ticks,
                   std::uint32_t clock_rate) {
  const bool known = seen.sender.load(kRelaxed) == (kKnownSender | rtp.ssrc);
  if (!known && seen.bad_sequence.load(kRelaxed) != rtp.sequence) {
    seen.bad_sequence.store(static_cast<std::uint16_t>(rtp.sequence + 1), kRelaxed);
    return false;
  }
  if (!note_usual(seen, rtp, ticks, clock_rate)) {
    note_unusual(seen, record, rtp, ticks, clock_rate);
  }
  return true;
}

void note_event(SeenLine& seen, Record& record, RtpFields rtp, std::uint64_t ticks,
                std::uint32_t clock_rate) {
  const bool known = seen.sender.load(kRelaxed) == (kKnownSender | rtp.ssrc);
  const std::uint32_t jitter = seen.jitter.load(kRelaxed), transit = seen.transit.load(kRelaxed);
  if (!note_usual(seen, rtp, ticks, clock_rate)) {
    note_unusual(seen, record, rtp, ticks, clock_rate);
  }
  if (known) {
    seen.jitter.store(jitter, kRelaxed);
    seen.transit.store(transit, kRelaxed);
  }
  seen.latest.store(Latest(seen.highest(), rtp.payload_type).raw(), kRelaxed);
}

}  // namespace millrace

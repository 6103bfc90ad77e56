// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/stream.h"

namespace millrace {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr std::uint32_t kSequenceModulus = 1U << 16;
constexpr std::uint32_t kNoBadSequence = kSequenceModulus + 1;  // equals no sequence number

void restart(SeenLine& seen, Record& record, const RtpHeader& header, std::uint32_t arrival) {
  const std::uint64_t stream = seen.stream.load(kRelaxed);
  if (seen.started.load(kRelaxed) != 0) {
    const auto base = static_cast<std::uint32_t>(seen.sequence.load(kRelaxed));
    const std::uint32_t expected = static_cast<std::uint32_t>(stream >> 32) - base + 1;
    record.past_expected.fetch_add(expected, kRelaxed);
  }
  const std::uint32_t ssrc = header.ssrc.host();
  const bool same_source = static_cast<std::uint32_t>(stream) == ssrc;
  const std::uint64_t first = header.sequence.host();
  const std::uint64_t jitter = same_source ? seen.timing.load(kRelaxed) >> 32 : 0;
  seen.stream.store(first << 32 | ssrc, kRelaxed);
  seen.sequence.store(std::uint64_t{kNoBadSequence} << 32 | first, kRelaxed);
  seen.timing.store(jitter << 32 | (arrival - header.timestamp.host()), kRelaxed);
  seen.started.store(1, kRelaxed);
}

}  // namespace

bool note_unusual(SeenLine& seen, Record& record, const RtpHeader& header, std::uint32_t arrival) {
  const std::uint64_t stream = seen.stream.load(kRelaxed);
  if (seen.started.load(kRelaxed) == 0 ||
      static_cast<std::uint32_t>(stream) != header.ssrc.host()) {
    restart(seen, record, header, arrival);
    return true;
  }
  const std::uint16_t sequence = header.sequence.host();
  const auto ahead =
      static_cast<std::uint16_t>(sequence - static_cast<std::uint16_t>(stream >> 32));
  if (ahead > kSequenceModulus - kMaxMisorder) return true;  // late or twice

  // A large jump. Two in a row: the sender has restarted its sequence without a new SSRC.
  const std::uint64_t state = seen.sequence.load(kRelaxed);
  if (state >> 32 == sequence) {
    restart(seen, record, header, arrival);
    return true;
  }
  const auto expected_next = static_cast<std::uint16_t>(sequence + 1);
  seen.sequence.store(std::uint64_t{expected_next} << 32 | (state & 0xffffffff), kRelaxed);
  record.not_received.fetch_add(1, kRelaxed);
  return false;
}

}  // namespace millrace

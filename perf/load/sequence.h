// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Detects loss, reordering and duplicates by the sequence numbers of one RTP stream (RFC 3550
// section 5.1).
//
// Numbers are extended beyond 16 bits by the shorter distance. A bitmap holds the last 64 numbers,
// more than a second of voice. An older packet counts as reordered, without a check for duplicates.

#include <cstdint>

namespace millrace::loadgen {

enum class Arrival : std::uint8_t { in_order, reordered, duplicate };

class Sequence {
 public:
  [[nodiscard]] Arrival note(std::uint16_t number) {
    if (seen_ == 0) {
      first_ = highest_ = number;
      seen_ = 1;
      return Arrival::in_order;
    }
    const auto ahead = static_cast<std::int16_t>(
        static_cast<std::uint16_t>(number - static_cast<std::uint16_t>(highest_)));
    if (ahead > 0) {
      seen_ = ahead < 64 ? seen_ << ahead | 1 : 1;
      highest_ += static_cast<std::uint32_t>(ahead);
      return Arrival::in_order;
    }
    const auto behind = static_cast<unsigned>(-ahead);
    if (behind >= 64) return Arrival::reordered;
    const std::uint64_t bit = std::uint64_t{1} << behind;
    if ((seen_ & bit) != 0) return Arrival::duplicate;
    seen_ |= bit;
    return Arrival::reordered;
  }
  // Extended highest sequence number (RFC 3550 section 6.4.1).
  [[nodiscard]] std::uint32_t highest() const { return highest_; }
  // Number of packets from the first one received to the highest.
  [[nodiscard]] std::uint32_t expected() const { return seen_ == 0 ? 0 : highest_ - first_ + 1; }

 private:
  std::uint64_t seen_ = 0;  // bit n: highest - n was received; 0: none was
  std::uint32_t highest_ = 0, first_ = 0;
};

}  // namespace millrace::loadgen

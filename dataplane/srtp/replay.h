// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Packet index and replay list (RFC 3711 sections 3.3.1 and 3.3.2).
//
// An SRTP packet carries the low 16 bits of its 48-bit index, the sequence number. The upper 32
// bits, the rollover counter (ROC), are estimated from the highest index so far. An SRTCP packet
// carries its whole index of 31 bits. A ReplayList is the state of one SSRC under one key, of a
// receiver or of a sender: its highest index and which of the last 128 indexes are used. A receiver
// updates it by authenticated packets only. A sender uses it to seal no index twice: two packets
// under one index would be encrypted by one key stream (RFC 3711 section 9.1).

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/tsc.h"

namespace millrace {

// An SRTP index of 48 bits or an SRTCP index of 31 bits.
class PacketIndex {
 public:
  constexpr PacketIndex() = default;
  constexpr PacketIndex(std::uint32_t roc, std::uint16_t sequence)
      : value_(std::uint64_t{roc} << 16 | sequence) {}
  [[nodiscard]] static constexpr PacketIndex of_rtcp(std::uint32_t index) {
    return {index >> 16, static_cast<std::uint16_t>(index)};
  }
  [[nodiscard]] constexpr std::uint32_t roc() const {
    return static_cast<std::uint32_t>(value_ >> 16);
  }
  [[nodiscard]] constexpr std::uint16_t sequence() const {
    return static_cast<std::uint16_t>(value_);
  }
  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
  friend constexpr auto operator<=>(PacketIndex, PacketIndex) = default;

 private:
  std::uint64_t value_ = 0;
};

// The index of a packet with this sequence number, which is the closest to the highest one so far.
// None if it would be negative or exceed 48 bits.
[[nodiscard]] constexpr std::optional<PacketIndex> estimate(PacketIndex highest,
                                                            std::uint16_t sequence) {
  constexpr std::uint16_t kHalf = 0x8000;
  const std::uint16_t latest = highest.sequence();
  std::uint32_t roc = highest.roc();
  if (latest < kHalf && sequence - latest > kHalf) {
    if (roc-- == 0) return std::nullopt;
  } else if (latest >= kHalf && latest - kHalf > sequence) {
    if (++roc == 0) return std::nullopt;
  }
  return PacketIndex(roc, sequence);
}

class ReplayList {
 public:
  static constexpr std::uint64_t kWindow = 128;

  ReplayList() = default;
  // Continues after `highest`. This index and all below it are used.
  explicit ReplayList(PacketIndex highest)
      : highest_(highest), used_{~std::uint64_t{0}, ~std::uint64_t{0}} {}

  [[nodiscard]] PacketIndex highest() const { return highest_; }
  // Whether the index is used, or too old to know.
  [[nodiscard]] bool is_used(PacketIndex index) const {
    if (index > highest_) return false;
    const std::uint64_t age = highest_.value() - index.value();
    return age >= kWindow || (used_[age / 64] >> age % 64 & 1) != 0;
  }
  // Precondition: not is_used().
  void use(PacketIndex index) {
    if (index <= highest_) {
      const std::uint64_t age = highest_.value() - index.value();
      used_[age / 64] |= std::uint64_t{1} << age % 64;
      return;
    }
    advance(index.value() - highest_.value());
    highest_ = index;
    used_[0] |= 1;
  }

 private:
  void advance(std::uint64_t by) {
    if (by >= 64) {
      used_[1] = by < kWindow ? used_[0] << (by - 64) : 0;
      used_[0] = 0;
    } else {
      used_[1] = used_[1] << by | used_[0] >> (64 - by);
      used_[0] <<= by;
    }
  }

  PacketIndex highest_;
  std::array<std::uint64_t, 2> used_{};  // bit n: highest - n
};

// The lists of one context by SSRC, at most kMax. Lists and what finds them are side by side: with
// one SSRC, they take 40 bytes.
template <std::size_t kMax>
class ReplayLists {
 public:
  [[nodiscard]] ReplayList* find(std::uint32_t ssrc) {
    if (entries_[recent_].ssrc == ssrc && recent_ < count_) [[likely]]
      return &entries_[recent_].list;
    for (std::uint8_t i = 0; i < count_; ++i) {
      if (entries_[i].ssrc == ssrc) return &entries_[recent_ = i].list;
    }
    return nullptr;
  }
  [[nodiscard]] std::size_t size() const { return count_; }
  // Adds a list that begins as `first`. If full, it replaces the one idle for longest.
  // Precondition: no list has this SSRC.
  ReplayList& add(std::uint32_t ssrc, const ReplayList& first, Tsc now) {
    std::uint8_t at = 0;
    if (count_ < kMax) {
      at = count_++;
    } else {
      for (std::uint8_t i = 1; i < kMax; ++i) {
        if (idle(i, now) > idle(at, now)) at = i;
      }
    }
    recent_ = at;
    entries_[at] = {.ssrc = ssrc, .last = coarse(now), .list = first};
    return entries_[at].list;
  }
  // Notes that the list found or added last is in use.
  void touch(Tsc now) { entries_[recent_].last = coarse(now); }

 private:
  struct Entry {
    std::uint32_t ssrc = 0;
    std::uint32_t last = 0;  // coarse()
    ReplayList list;
  };

  // In units of 4 to 8 ms, modulo a year.
  [[nodiscard]] static std::uint32_t coarse(Tsc time) {
    return static_cast<std::uint32_t>(time.ticks >> 24);
  }
  [[nodiscard]] std::uint32_t idle(std::uint8_t i, Tsc now) const {
    return coarse(now) - entries_[i].last;
  }

  std::uint8_t count_ = 0;
  std::uint8_t recent_ = 0;
  std::array<Entry, kMax> entries_{};
};

}  // namespace millrace

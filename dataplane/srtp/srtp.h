// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SRTP and SRTCP of one worker (RFC 3711, RFC 6188, RFC 7714): opens and seals bursts in place.
//
// Theory of operation. The worker fills one SrtpPacket per packet of its burst: the contexts, and
// the UDP payload with the room behind it. open() estimates each index, checks the replay list,
// authenticates, and only then decrypts and updates the state. A packet that fails is tried again
// as the rarer things it may be: under the previous key, or as the first packet seen of a stream
// whose ROC is not 0. seal() chooses the index, encrypts and authenticates. process() does both:
// packets from one key to another stay in cache. Each step runs over the whole burst, because
// HMAC-SHA1 costs a quarter in SIMD lanes (engine.h).
//
// open() treats packets one after the other, as if the burst had one packet each, except that a
// packet that fails at first is tried after all others. A refused packet changes no state, and its
// bytes stay as they are. No allocation, lock, system call or virtual call. One object per worker.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/srtp/context.h"
#include "dataplane/srtp/engine.h"
#include "dataplane/tsc.h"

namespace millrace {

enum class SrtpVerdict : std::uint8_t {
  ok,
  malformed,  // RTP or RTCP header does not fit the packet
  auth,       // wrong tag
  replay,     // the index was used before, or is too old to know
  no_key,     // no key has this MKI
  plain,      // too short for SRTP, or plain RTCP
  limit,      // the key has sealed as many packets or SSRCs as it may
  too_long,   // no room for trailer and tag
  contended,  // another worker is processing this context
};

struct SrtpPacket {
  OpeningContext* from = nullptr;  // null: not to be opened
  SealingContext* to = nullptr;    // null: not to be sealed
  std::byte* data = nullptr;
  std::uint32_t size = 0;  // of the packet, before and after
  std::uint32_t room = 0;  // bytes from `data` on that may be written; at least `size`
  PacketKind kind = PacketKind::rtp;
  bool verify_only = false;               // open() leaves the packet as it is
  SrtpVerdict verdict = SrtpVerdict::ok;  // seal() skips others

  [[nodiscard]] std::span<std::byte> bytes() const { return {data, size}; }
};

class Srtp {
 public:
  static constexpr std::size_t kBurst = Engine::kBurst;
  // A packet grows by so many bytes at most when sealed.
  static constexpr std::size_t kMaxGrowth = 16 + 4 + Mki::kMax;

  explicit Srtp(Engine::Kind kind) : engine_(kind) {}

  // At most kBurst packets each.
  void open(std::span<SrtpPacket> burst, Tsc now);
  void seal(std::span<SrtpPacket> burst, Tsc now);
  void process(std::span<SrtpPacket> burst, Tsc now) {
    open(burst, now);
    seal(burst, now);
  }

 private:
  // A key and an index that a packet may have.
  struct Guess {
    OpeningContext* context = nullptr;
    PacketIndex index;
    friend bool operator==(const Guess&, const Guess&) = default;
  };
  struct Guesses;
  // A packet that is being opened or sealed.
  struct Work {
    Guess guess;  // open()
    std::uint32_t ssrc = 0;
    std::uint32_t text_end = 0;          // of the ciphertext, without a tag
    std::array<std::byte, 4> covered{};  // bytes at text_end, while others are there
    std::array<std::byte, 12> header{};  // additional data of SRTCP
    CipherJob job;

    [[nodiscard]] bool is_cm() const { return job.keys->mode == CipherMode::aes_cm; }
  };

  [[nodiscard]] bool hold(Holder& holder);
  void release_all();

  // ---- open.cc --------------------------------------------------------------------------------
  void guess(const SrtpPacket& packet, Tsc now, Guesses& guesses);
  void guess_rtp(OpeningContext& context, const SrtpPacket& packet, Tsc now, Guesses& guesses);
  [[nodiscard]] static SrtpVerdict prepare(SrtpPacket& packet, const Guess& guess, Work& work);
  [[nodiscard]] SrtpVerdict begin(SrtpPacket& packet, Work& work, Tsc now);
  [[nodiscard]] SrtpVerdict accept(SrtpPacket& packet, Work& work, Tsc now);
  void retry(SrtpPacket& packet, const Guess& tried, Tsc now);
  [[nodiscard]] SrtpVerdict open_one(SrtpPacket& packet, const Guess& guess, Tsc now);

  // ---- seal.cc --------------------------------------------------------------------------------
  [[nodiscard]] SrtpVerdict prepare_sealing(SrtpPacket& packet, Work& work, Tsc now);

  Engine engine_;
  std::array<Work, kBurst> works_{};        // by place in the burst
  Work spare_;                              // of retries
  std::array<Holder*, 2 * kBurst> held_{};  // of the current burst
  std::size_t held_count_ = 0;
};

}  // namespace millrace

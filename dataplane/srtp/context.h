// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Cryptographic contexts (RFC 3711 section 3.2): what a worker needs to open or seal the packets of
// one direction under one master key.
//
// A context holds derived keys, per SSRC the highest index and the replay list, and the MKI. A new
// master key is a new context. Its predecessor stays with it, for packets on their way, until a
// time (RFC 3711 section 8.1.1). Control threads make contexts, publish them to workers, and
// release them when no worker can use them any more. Then they are wiped.
//
// RTP and RTCP of a context may be processed by two workers: their states are apart. If two workers
// have packets of one kind at once (the queue of a flow has changed), the second one drops its
// packets: a Holder never waits, and no index is sealed twice.
//
// Bounds. An opening context keeps 16 SSRCs of each kind, and the one idle for longest goes. A
// sealing context must not forget an SSRC, or it would begin at ROC 0 again and use a key stream
// twice. It takes 64 SSRCs and refuses others. It has one SRTCP index for all SSRCs, never reset.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "dataplane/base/result.h"
#include "dataplane/base/srtp_key.h"
#include "dataplane/srtp/engine.h"
#include "dataplane/srtp/key_derivation.h"
#include "dataplane/srtp/locked_table.h"
#include "dataplane/srtp/replay.h"
#include "dataplane/tsc.h"

namespace millrace {

inline constexpr std::size_t kMaxOpenedSsrcs = 16;
inline constexpr std::size_t kMaxSealedSsrcs = 64;
inline constexpr std::uint32_t kMaxRtcpIndex = 0x7fff'ffff;

// The worker that is processing packets of one kind of a context.
class Holder {
 public:
  [[nodiscard]] bool is_held_by(const void* worker) const {
    return worker_.load(std::memory_order_relaxed) == worker;
  }
  // False if another worker holds it.
  [[nodiscard]] bool take(const void* worker) {
    const void* none = nullptr;
    return worker_.compare_exchange_strong(none, worker, std::memory_order_acquire,
                                           std::memory_order_relaxed);
  }
  void release() { worker_.store(nullptr, std::memory_order_release); }

 private:
  std::atomic<const void*> worker_{nullptr};
};

class OpeningContext {
 public:
  // The first cache line is all the state that a packet of the first SSRC needs.
  struct alignas(64) Half {
    Holder holder;
    std::atomic<OpeningContext*> predecessor{nullptr};
    ReplayLists<kMaxOpenedSsrcs> lists;
    SessionKeys keys;
  };

  OpeningContext(const MasterKey& master, const Engine& engine);

  [[nodiscard]] Half& half(PacketKind kind) { return kind == PacketKind::rtp ? rtp_ : rtcp_; }
  [[nodiscard]] const Mki& mki() const { return mki_; }

  // For the same key in a later offer: the context stays, with its indexes.
  [[nodiscard]] bool is_of(const MasterKey& master, const Engine& engine) const;
  // Continues an SSRC after this index, for example after a restart of the relay. Precondition: no
  // worker uses the context yet, and the SSRC is new.
  void continue_after(PacketKind kind, std::uint32_t ssrc, PacketIndex highest, Tsc now);

  // Packets under the key of `predecessor` are opened until then. Null: not any more.
  void set_predecessor(OpeningContext* predecessor, Tsc until);
  [[nodiscard]] OpeningContext* predecessor(PacketKind kind, Tsc now) {
    OpeningContext* const found = half(kind).predecessor.load(std::memory_order_acquire);
    if (found == nullptr) [[likely]]
      return nullptr;
    return now.ticks < until_.load(std::memory_order_relaxed) ? found : nullptr;
  }

 private:
  Half rtp_, rtcp_;
  std::atomic<std::uint64_t> until_{0};
  Mki mki_;
};

class SealingContext {
 public:
  struct alignas(64) Rtp {
    Holder holder;
    std::uint64_t left = 0;  // packets that the key may still seal
    ReplayLists<kMaxSealedSsrcs> lists;
    SessionKeys keys;
  };
  struct alignas(64) Rtcp {
    Holder holder;
    std::uint64_t left = 0;
    std::uint32_t index = 0;  // of the next packet
    SessionKeys keys;
  };

  SealingContext(const MasterKey& master, const Engine& engine);

  [[nodiscard]] Rtp& rtp() { return rtp_; }
  [[nodiscard]] Rtcp& rtcp() { return rtcp_; }
  [[nodiscard]] Holder& holder(PacketKind kind) {
    return kind == PacketKind::rtp ? rtp_.holder : rtcp_.holder;
  }
  [[nodiscard]] const SessionKeys& keys(PacketKind kind) const {
    return kind == PacketKind::rtp ? rtp_.keys : rtcp_.keys;
  }
  [[nodiscard]] const Mki& mki() const { return mki_; }

  [[nodiscard]] bool is_of(const MasterKey& master, const Engine& engine) const;
  // As of OpeningContext.
  void continue_after(std::uint32_t ssrc, PacketIndex highest, Tsc now);
  void continue_rtcp_at(std::uint32_t index) { rtcp_.index = index; }

 private:
  Rtp rtp_;
  Rtcp rtcp_;
  Mki mki_;
};

// All contexts of the process, in locked memory. For control threads.
class SrtpContexts {
 public:
  // Room for `flows` contexts of each direction. A key change needs one more for its time.
  [[nodiscard]] static Result<SrtpContexts> make(std::size_t flows, Engine::Kind kind);

  // Null if the table is full.
  [[nodiscard]] OpeningContext* make_opening(const MasterKey& master);
  [[nodiscard]] SealingContext* make_sealing(const MasterKey& master);
  // Wipes a context. Precondition: no worker uses it, neither as a predecessor.
  void release(OpeningContext* context);
  void release(SealingContext* context);

  // Expands keys for all engines of this kind.
  [[nodiscard]] const Engine& engine() const { return *engine_; }
  [[nodiscard]] std::size_t free_opening() const { return opening_.free_blocks(); }
  [[nodiscard]] std::size_t free_sealing() const { return sealing_.free_blocks(); }

 private:
  SrtpContexts(LockedTable opening, LockedTable sealing, Engine::Kind kind);

  LockedTable opening_;
  LockedTable sealing_;
  std::unique_ptr<const Engine> engine_;
};

}  // namespace millrace

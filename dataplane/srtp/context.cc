// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/srtp/context.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <new>
#include <type_traits>
#include <utility>

namespace millrace {
namespace {

// Compares what is derived: the master key itself is not kept.
[[nodiscard]] bool are_of(const SessionKeys& rtp, const MasterKey& master, const Mki& mki,
                          const Engine& engine) {
  SessionKeys derived;
  derive(master, PacketKind::rtp, engine, derived);
  const bool same = rtp.mode == derived.mode && rtp.key_size == derived.key_size &&
                    rtp.tag_size == derived.tag_size && mki == master.mki &&
                    CRYPTO_memcmp(rtp.salt.data(), derived.salt.data(), derived.salt.size()) == 0 &&
                    CRYPTO_memcmp(rtp.cipher.data(), derived.cipher.data(), derived.key_size) == 0;
  OPENSSL_cleanse(&derived, sizeof derived);
  return same;
}

}  // namespace

// LockedTable wipes contexts without a destructor.
static_assert(std::is_trivially_destructible_v<OpeningContext>);
static_assert(std::is_trivially_destructible_v<SealingContext>);

OpeningContext::OpeningContext(const MasterKey& master, const Engine& engine) : mki_(master.mki) {
  derive(master, PacketKind::rtp, engine, rtp_.keys);
  derive(master, PacketKind::rtcp, engine, rtcp_.keys);
}

bool OpeningContext::is_of(const MasterKey& master, const Engine& engine) const {
  return are_of(rtp_.keys, master, mki_, engine);
}

void OpeningContext::continue_after(PacketKind kind, std::uint32_t ssrc, PacketIndex highest,
                                    Tsc now) {
  half(kind).lists.add(ssrc, ReplayList(highest), now);
}

void OpeningContext::set_predecessor(OpeningContext* predecessor, Tsc until) {
  until_.store(until.ticks, std::memory_order_relaxed);
  for (Half* const half : {&rtp_, &rtcp_}) {
    half->predecessor.store(predecessor, std::memory_order_release);
  }
}

SealingContext::SealingContext(const MasterKey& master, const Engine& engine) : mki_(master.mki) {
  derive(master, PacketKind::rtp, engine, rtp_.keys);
  derive(master, PacketKind::rtcp, engine, rtcp_.keys);
  rtp_.left = std::min(master.lifetime, MasterKey::kMaxLifetime);
  rtcp_.left = std::min(master.lifetime, std::uint64_t{kMaxRtcpIndex} + 1);
}

bool SealingContext::is_of(const MasterKey& master, const Engine& engine) const {
  return are_of(rtp_.keys, master, mki_, engine);
}

void SealingContext::continue_after(std::uint32_t ssrc, PacketIndex highest, Tsc now) {
  rtp_.lists.add(ssrc, ReplayList(highest), now);
}

Result<SrtpContexts> SrtpContexts::make(std::size_t flows, Engine::Kind kind) {
  auto opening = LockedTable::make(flows, sizeof(OpeningContext));
  if (!opening) return std::unexpected(opening.error());
  auto sealing = LockedTable::make(flows, sizeof(SealingContext));
  if (!sealing) return std::unexpected(sealing.error());
  return SrtpContexts(std::move(*opening), std::move(*sealing), kind);
}

SrtpContexts::SrtpContexts(LockedTable opening, LockedTable sealing, Engine::Kind kind)
    : opening_(std::move(opening)),
      sealing_(std::move(sealing)),
      engine_(std::make_unique<const Engine>(kind)) {}

OpeningContext* SrtpContexts::make_opening(const MasterKey& master) {
  void* const block = opening_.take();
  return block == nullptr ? nullptr : new (block) OpeningContext(master, *engine_);
}

SealingContext* SrtpContexts::make_sealing(const MasterKey& master) {
  void* const block = sealing_.take();
  return block == nullptr ? nullptr : new (block) SealingContext(master, *engine_);
}

void SrtpContexts::release(OpeningContext* context) { opening_.give_back(context); }
void SrtpContexts::release(SealingContext* context) { sealing_.give_back(context); }

}  // namespace millrace

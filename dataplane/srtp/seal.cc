// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cassert>
#include <cstring>

#include "dataplane/srtp/packet.h"
#include "dataplane/srtp/srtp.h"

namespace millrace {
namespace {

// The stream's next index, or the reason why not. The estimate must be the receiver's: an index
// that no receiver would guess is refused, not sent.
[[nodiscard]] SrtpVerdict use_rtp(SealingContext::Rtp& rtp, std::uint32_t ssrc,
                                  std::uint16_t sequence, Tsc now, PacketIndex& index) {
  if (rtp.left == 0) return SrtpVerdict::limit;
  ReplayList* list = rtp.lists.find(ssrc);
  if (list == nullptr) {
    if (rtp.lists.size() == kMaxSealedSsrcs) return SrtpVerdict::limit;
    list = &rtp.lists.add(ssrc, ReplayList(), now);
    index = PacketIndex(0, sequence);
  } else if (const auto estimated = estimate(list->highest(), sequence)) {
    if (list->is_used(*estimated)) return SrtpVerdict::replay;
    index = *estimated;
  } else {
    return list->highest().roc() == 0 ? SrtpVerdict::replay : SrtpVerdict::limit;
  }
  list->use(index);
  --rtp.left;
  return SrtpVerdict::ok;
}

[[nodiscard]] SrtpVerdict use_rtcp(SealingContext::Rtcp& rtcp, PacketIndex& index) {
  if (rtcp.left == 0 || rtcp.index > kMaxRtcpIndex) return SrtpVerdict::limit;
  index = PacketIndex::of_rtcp(rtcp.index);
  ++rtcp.index;
  --rtcp.left;
  return SrtpVerdict::ok;
}

// Writes all behind the text.
void write_tail(SrtpPacket& packet, const CipherJob& job, Be32 word) {
  const std::uint8_t tag_size = job.keys->tag_size;
  std::byte* end = packet.data + packet.size;
  const auto append_mki = [&] {
    if (job.keys->mki_size == 0) [[likely]]
      return;
    end = std::ranges::copy(packet.to->mki().bytes(), end).out;
  };
  const auto append_word = [&] {
    if (packet.kind == PacketKind::rtp) return;
    store(end, word);
    end += kIndexWord;
  };
  if (job.keys->mode == CipherMode::aes_cm) {
    append_word();
    append_mki();
    end = append_tag(end, job.tag, tag_size);
  } else {
    end = append_tag(end, job.tag, tag_size);
    append_word();
    append_mki();
  }
  packet.size = static_cast<std::uint32_t>(end - packet.data);
}

void prefetch(const SrtpPacket& packet) {
  prefetch_lines(&packet.to->holder(packet.kind), 64);
  prefetch_lines(&packet.to->keys(packet.kind), 1);
  prefetch_lines(packet.data, 1);
}

}  // namespace

SrtpVerdict Srtp::prepare_sealing(SrtpPacket& packet, Work& work, Tsc now) {
  const auto header = clear_size(packet.kind, packet.bytes());
  if (!header) return SrtpVerdict::malformed;
  const SessionKeys& keys = packet.to->keys(packet.kind);
  prefetch_cipher(keys, packet.bytes());
  assert(packet.room >= packet.size);
  if (packet.room - packet.size < tail_size(packet.kind, keys)) {
    return SrtpVerdict::too_long;
  }
  if (!hold(packet.to->holder(packet.kind))) return SrtpVerdict::contended;

  PacketIndex index;
  const std::uint32_t ssrc = ssrc_of(packet.kind, packet.data);
  const SrtpVerdict verdict =
      packet.kind == PacketKind::rtp
          ? use_rtp(packet.to->rtp(), ssrc, sequence_of(packet.data), now, index)
          : use_rtcp(packet.to->rtcp(), index);
  if (verdict != SrtpVerdict::ok) return verdict;

  work.guess.index = index;
  CipherJob& job = work.job;
  job.keys = &keys;
  job.text = packet.data + *header;
  job.text_size = packet.size - *header;
  job.iv = iv_of(keys, ssrc, index);
  job.authenticated = packet.data;
  const bool rtp = packet.kind == PacketKind::rtp;
  const Be32 word(rtp ? index.roc() : static_cast<std::uint32_t>(index.value()) | kEncrypted);
  if (keys.mode == CipherMode::aes_cm) {
    store(packet.data + packet.size, word);
    job.authenticated_size = packet.size + sizeof word;
  } else if (rtp) {
    job.authenticated_size = *header;
  } else {
    std::memcpy(work.header.data(), packet.data, kRtcpHeader);
    store(work.header.data() + kRtcpHeader, word);
    job.authenticated = work.header.data();
    job.authenticated_size = work.header.size();
  }
  return SrtpVerdict::ok;
}

void Srtp::seal(std::span<SrtpPacket> burst, Tsc now) {
  std::array<CipherJob*, kBurst> cm, gcm;
  std::size_t cm_count = 0, gcm_count = 0;
  for (const SrtpPacket& packet : burst) {
    if (packet.to != nullptr) prefetch(packet);
  }
  for (std::size_t i = 0; i < burst.size(); ++i) {
    SrtpPacket& packet = burst[i];
    if (packet.to == nullptr || packet.verdict != SrtpVerdict::ok) continue;
    packet.verdict = prepare_sealing(packet, works_[i], now);
    if (packet.verdict != SrtpVerdict::ok) continue;
    (works_[i].is_cm() ? cm[cm_count++] : gcm[gcm_count++]) = &works_[i].job;
  }
  engine_.crypt(std::span(cm).first(cm_count));
  engine_.authenticate(std::span(cm).first(cm_count));
  engine_.seal_gcm(std::span(gcm).first(gcm_count));
  for (std::size_t i = 0; i < burst.size(); ++i) {
    SrtpPacket& packet = burst[i];
    if (packet.to == nullptr || packet.verdict != SrtpVerdict::ok) continue;
    const auto index = static_cast<std::uint32_t>(works_[i].guess.index.value());
    write_tail(packet, works_[i].job, Be32(index | kEncrypted));
  }
  release_all();
}

}  // namespace millrace

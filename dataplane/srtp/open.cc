// SPDX-License-Identifier: BSD-3-Clause
#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>

#include "dataplane/srtp/packet.h"
#include "dataplane/srtp/srtp.h"

namespace millrace {

// What a packet may be, the likeliest first. If nothing, the reason.
struct Srtp::Guesses {
  std::array<Guess, 6> list;
  std::size_t count = 0;
  SrtpVerdict otherwise = SrtpVerdict::ok;

  void add(OpeningContext& context, PacketIndex index) {
    const Guess guess{&context, index};
    if (std::ranges::find(all(), guess) == all().end()) list[count++] = guess;
  }
  void refuse(SrtpVerdict reason) {
    if (otherwise == SrtpVerdict::ok) otherwise = reason;
  }
  [[nodiscard]] std::span<const Guess> all() const { return std::span(list).first(count); }
};

namespace {

constexpr std::uint16_t kHalfOfSequence = 0x8000;

void prefetch(const SrtpPacket& packet) {
  const auto& half = packet.from->half(packet.kind);
  prefetch_lines(&half, 64);
  prefetch_lines(&half.keys, 1);
  prefetch_lines(packet.data, 1);
}

}  // namespace

bool Srtp::hold(Holder& holder) {
  if (holder.is_held_by(this)) return true;
  if (held_count_ == held_.size() || !holder.take(this)) return false;
  held_[held_count_++] = &holder;
  return true;
}

void Srtp::release_all() {
  for (std::size_t i = 0; i < held_count_; ++i) held_[i]->release();
  held_count_ = 0;
}

// RFC 3711 section 3.3.1, and what a receiver cannot know at the first packet of an SSRC: a sender
// that began close to 2^16 has wrapped before it was heard, or has kept its ROC over a key change.
// A guess counts only if it authenticates the packet.
void Srtp::guess_rtp(OpeningContext& context, const SrtpPacket& packet, Tsc now, Guesses& guesses) {
  const std::uint32_t ssrc = ssrc_of(packet.kind, packet.data);
  const std::uint16_t sequence = sequence_of(packet.data);
  if (const ReplayList* const list = context.half(packet.kind).lists.find(ssrc)) {
    if (const auto index = estimate(list->highest(), sequence)) {
      guesses.add(context, *index);
    } else if (list->highest().roc() == 0) {
      guesses.add(context, PacketIndex(0, sequence));
    } else {
      guesses.refuse(SrtpVerdict::limit);
    }
    return;
  }
  guesses.add(context, PacketIndex(0, sequence));
  if (sequence < kHalfOfSequence) guesses.add(context, PacketIndex(1, sequence));
  OpeningContext* const before = context.predecessor(packet.kind, now);
  if (before == nullptr || !hold(before->half(packet.kind).holder)) return;
  if (const ReplayList* const list = before->half(packet.kind).lists.find(ssrc)) {
    if (const auto index = estimate(list->highest(), sequence)) guesses.add(context, *index);
  }
}

// Precondition: the packet's header fits.
void Srtp::guess(const SrtpPacket& packet, Tsc now, Guesses& guesses) {
  const std::uint32_t header = *clear_size(packet.kind, packet.bytes());
  for (OpeningContext* context = packet.from; context != nullptr;
       context = context == packet.from ? context->predecessor(packet.kind, now) : nullptr) {
    auto& half = context->half(packet.kind);
    const std::uint32_t mki_size = half.keys.mki_size;
    if (packet.size < header + tail_size(packet.kind, half.keys)) {
      guesses.refuse(SrtpVerdict::plain);
      continue;
    }
    const std::byte* const end = packet.data + packet.size;
    if (mki_size != 0 && !std::ranges::equal(context->mki().bytes(),
                                             std::span(end - mki_from_end(half.keys), mki_size))) {
      guesses.refuse(SrtpVerdict::no_key);
      continue;
    }
    if (!hold(half.holder)) {
      guesses.refuse(SrtpVerdict::contended);
      continue;
    }
    if (packet.kind == PacketKind::rtp) {
      guess_rtp(*context, packet, now, guesses);
    } else {
      const std::uint32_t word = load_be32(end - word_from_end(half.keys));
      guesses.add(*context, PacketIndex::of_rtcp(word & ~kEncrypted));
    }
  }
}

// Fills the job, and covers the bytes behind the text where ROC or index are authenticated.
SrtpVerdict Srtp::prepare(SrtpPacket& packet, const Guess& guess, Work& work) {
  auto& half = guess.context->half(packet.kind);
  const SessionKeys& keys = half.keys;
  prefetch_cipher(keys, packet.bytes());
  const std::uint32_t header = *clear_size(packet.kind, packet.bytes());
  work.guess = guess;
  work.ssrc = ssrc_of(packet.kind, packet.data);
  const ReplayList* const list = half.lists.find(work.ssrc);
  if (list != nullptr && list->is_used(guess.index)) return SrtpVerdict::replay;

  work.text_end = packet.size - tail_size(packet.kind, keys);
  std::byte* const behind = packet.data + work.text_end;
  work.covered = load<std::array<std::byte, 4>>(behind);
  CipherJob& job = work.job;
  job.keys = &keys;
  job.text = packet.data + header;
  job.text_size = work.text_end - header;
  job.iv = iv_of(keys, work.ssrc, guess.index);
  job.authenticated = packet.data;
  const bool cm = keys.mode == CipherMode::aes_cm;
  if (!cm) std::memcpy(job.tag.data(), behind, 16);
  if (packet.kind == PacketKind::rtp) {
    if (cm) store(behind, Be32(guess.index.roc()));
    job.authenticated_size = cm ? work.text_end + sizeof(Be32) : header;
    return SrtpVerdict::ok;
  }
  const auto word = load<Be32>(packet.data + packet.size - word_from_end(keys));
  const bool encrypted = (word.host() & kEncrypted) != 0;
  if (!encrypted) job.text_size = 0;
  job.authenticated_size = work.text_end + kIndexWord;
  if (cm || !encrypted) {
    store(behind, word);
    return SrtpVerdict::ok;
  }
  std::memcpy(work.header.data(), packet.data, kRtcpHeader);
  store(work.header.data() + kRtcpHeader, word);
  job.authenticated = work.header.data();
  job.authenticated_size = work.header.size();
  return SrtpVerdict::ok;
}

// After Engine::authenticate(). AES-GCM decrypts here, AES-CM later.
SrtpVerdict Srtp::accept(SrtpPacket& packet, Work& work, Tsc now) {
  CipherJob& job = work.job;
  const bool cm = work.is_cm();
  bool correct = !cm && engine_.open_gcm(job);
  store(packet.data + work.text_end, work.covered);
  if (cm) {
    const std::uint8_t tag = job.keys->tag_size;
    correct = CRYPTO_memcmp(job.tag.data(), packet.data + packet.size - tag, tag) == 0;
  }
  if (!correct) return SrtpVerdict::auth;

  // Again: an earlier packet of the burst may have had this index.
  auto& lists = work.guess.context->half(packet.kind).lists;
  ReplayList* list = lists.find(work.ssrc);
  if (list != nullptr && list->is_used(work.guess.index)) {
    if (!cm) engine_.close_gcm(job);
    return SrtpVerdict::replay;
  }
  if (list == nullptr) list = &lists.add(work.ssrc, ReplayList(), now);
  list->use(work.guess.index);
  lists.touch(now);
  if (packet.verify_only) {
    if (!cm) engine_.close_gcm(job);
  } else {
    packet.size = work.text_end;
  }
  return SrtpVerdict::ok;
}

void Srtp::open(std::span<SrtpPacket> burst, Tsc now) {
  std::array<CipherJob*, kBurst> jobs;  // AES-CM
  std::size_t count = 0;
  for (const SrtpPacket& packet : burst) {
    if (packet.from != nullptr) prefetch(packet);
  }
  for (std::size_t i = 0; i < burst.size(); ++i) {
    SrtpPacket& packet = burst[i];
    if (packet.from == nullptr) continue;
    packet.verdict = begin(packet, works_[i], now);
    if (packet.verdict == SrtpVerdict::ok && works_[i].is_cm()) jobs[count++] = &works_[i].job;
  }
  engine_.authenticate(std::span(jobs).first(count));
  count = 0;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    SrtpPacket& packet = burst[i];
    if (packet.from == nullptr || packet.verdict != SrtpVerdict::ok) continue;
    packet.verdict = accept(packet, works_[i], now);
    if (packet.verdict == SrtpVerdict::ok && works_[i].is_cm() && !packet.verify_only) {
      jobs[count++] = &works_[i].job;
    }
  }
  engine_.crypt(std::span(jobs).first(count));
  for (std::size_t i = 0; i < burst.size(); ++i) {
    SrtpPacket& packet = burst[i];
    if (packet.from == nullptr) continue;
    if (packet.verdict == SrtpVerdict::auth || packet.verdict == SrtpVerdict::replay) [[unlikely]]
      retry(packet, works_[i].guess, now);
  }
  release_all();
}

SrtpVerdict Srtp::begin(SrtpPacket& packet, Work& work, Tsc now) {
  if (!clear_size(packet.kind, packet.bytes())) return SrtpVerdict::malformed;
  Guesses guesses;
  guess(packet, now, guesses);
  if (guesses.count == 0) return guesses.otherwise;
  return prepare(packet, guesses.list[0], work);
}

// `tried` has failed.
void Srtp::retry(SrtpPacket& packet, const Guess& tried, Tsc now) {
  Guesses guesses;
  guess(packet, now, guesses);
  for (const Guess& guess : guesses.all()) {
    if (guess != tried && open_one(packet, guess, now) == SrtpVerdict::ok) {
      packet.verdict = SrtpVerdict::ok;
      return;
    }
  }
  if (packet.kind == PacketKind::rtcp && packet.verdict == SrtpVerdict::auth &&
      parse_rtcp(packet.bytes(), /*encrypted=*/false)) {
    packet.verdict = SrtpVerdict::plain;
  }
}

SrtpVerdict Srtp::open_one(SrtpPacket& packet, const Guess& guess, Tsc now) {
  Work& work = spare_;
  const SrtpVerdict prepared = prepare(packet, guess, work);
  if (prepared != SrtpVerdict::ok) return prepared;
  CipherJob* const job = &work.job;
  if (work.is_cm()) engine_.authenticate({&job, 1});
  const SrtpVerdict verdict = accept(packet, work, now);
  if (verdict == SrtpVerdict::ok && work.is_cm() && !packet.verify_only) engine_.crypt({&job, 1});
  return verdict;
}

}  // namespace millrace

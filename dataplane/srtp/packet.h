// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parts of SRTP and SRTCP packets.
//
//   AES-CM    header | text | E and index (SRTCP) | MKI | tag     tag over all before the MKI, and
//   ROC AES-GCM   header | text | tag | E and index (SRTCP) | MKI
//
// The text ends where the tail begins. ROC and index are authenticated behind the text, in place of
// the bytes there (AES-CM), or as additional data (AES-GCM).

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "dataplane/srtp/engine.h"
#include "dataplane/srtp/key_derivation.h"
#include "dataplane/srtp/replay.h"
#include "dataplane/wire/bytes.h"
#include "dataplane/wire/rtp.h"

namespace millrace {

inline constexpr std::uint32_t kRtcpHeader = 8;
inline constexpr std::uint32_t kIndexWord = 4;  // E and SRTCP index
inline constexpr std::uint32_t kEncrypted = 0x8000'0000;

// Into L2: L1 has fewer fill buffers than a burst has lines.
inline void prefetch_lines(const void* from, std::size_t size) {
  const auto* const bytes = static_cast<const std::byte*>(from);
  for (std::size_t at = 0; at < size; at += 64) __builtin_prefetch(bytes + at, 0, 2);
}

// What the ciphers read of a packet of voice: its text, the round keys, and of GCM the low powers
// of the hash key, which intel-ipsec-mb keeps last.
inline void prefetch_cipher(const SessionKeys& keys, std::span<const std::byte> packet) {
  prefetch_lines(packet.data(), std::min<std::size_t>(packet.size(), 256));
  prefetch_lines(keys.cipher.data(), 192);
  if (keys.mode == CipherMode::aes_gcm) prefetch_lines(keys.cipher.data() + 768, 256);
}

// Length of the part in clear of a packet that may be RTP or RTCP. None if it does not fit.
[[nodiscard, gnu::always_inline]] inline std::optional<std::uint32_t> clear_size(
    PacketKind kind, std::span<const std::byte> packet) {
  if (kind == PacketKind::rtp) {
    const auto size = rtp_header_size(packet);
    if (!size) return std::nullopt;
    return static_cast<std::uint32_t>(*size);
  }
  if (packet.size() < kRtcpHeader || load<RtcpHeader>(packet.data()).version() != 2) {
    return std::nullopt;
  }
  return kRtcpHeader;
}

// Precondition: clear_size().
[[nodiscard]] inline std::uint32_t ssrc_of(PacketKind kind, const std::byte* packet) {
  return load_be32(packet + (kind == PacketKind::rtp ? 8 : 4));
}
[[nodiscard]] inline std::uint16_t sequence_of(const std::byte* packet) {
  return load_be16(packet + 2);
}

// Bytes behind the text.
[[nodiscard]] inline std::uint32_t tail_size(PacketKind kind, const SessionKeys& keys) {
  return keys.tag_size + keys.mki_size + (kind == PacketKind::rtcp ? kIndexWord : 0U);
}

// Where a sealed packet has its MKI, and its index word, counted from the end.
[[nodiscard]] inline std::uint32_t mki_from_end(const SessionKeys& keys) {
  return keys.mki_size + (keys.mode == CipherMode::aes_cm ? keys.tag_size : 0U);
}
[[nodiscard]] inline std::uint32_t word_from_end(const SessionKeys& keys) {
  return mki_from_end(keys) + kIndexWord;
}

// Of 4, 10 or 16 bytes: in each case a few stores.
inline std::byte* append_tag(std::byte* to, const std::array<std::byte, 20>& tag,
                             std::uint8_t size) {
  switch (size) {
    case 4:
      std::memcpy(to, tag.data(), 4);
      break;
    case 10:
      std::memcpy(to, tag.data(), 10);
      break;
    default:
      std::memcpy(to, tag.data(), 16);
      break;
  }
  return to + size;
}

// RFC 3711 section 4.1.1, RFC 7714 sections 8.1 and 9.1.
[[nodiscard]] inline std::array<std::byte, 16> iv_of(const SessionKeys& keys, std::uint32_t ssrc,
                                                     PacketIndex index) {
  struct Words {
    std::uint64_t first, second;
  };
  auto iv = load<Words>(keys.salt.data());
  iv.first ^= std::byteswap(std::uint64_t{ssrc});
  iv.second ^= std::byteswap(index.value() << 16);
  return std::bit_cast<std::array<std::byte, 16>>(iv);
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Key derivation (RFC 3711 section 4.3, RFC 6188 section 3, RFC 7714 section 11), at rate 0: once
// per master key.
//
// The pseudo-random function is AES in counter mode under the master key, with its key size. Runs
// on control threads. Wipes what it leaves behind.

#include "dataplane/base/srtp_key.h"
#include "dataplane/srtp/engine.h"

namespace millrace {

// The labels of SRTP begin at 0, those of SRTCP at 3.
enum class PacketKind : std::uint8_t { rtp = 0, rtcp = 3 };

// Session key, authentication key and salt as bytes.
struct RawSessionKeys {
  std::array<std::byte, kMaxMasterKey> cipher{};
  std::array<std::byte, 20> authentication{};
  std::array<std::byte, kMaxMasterSalt> salt{};

  RawSessionKeys() = default;
  RawSessionKeys(const RawSessionKeys&) = delete;
  RawSessionKeys& operator=(const RawSessionKeys&) = delete;
  ~RawSessionKeys();
};

void derive(const MasterKey& master, PacketKind kind, RawSessionKeys& raw);
void derive(const MasterKey& master, PacketKind kind, const Engine& engine, SessionKeys& keys);

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SRTP crypto suites and master keys: what key management (SDES, DTLS-SRTP) agrees on.
//
// kSuites lists the suites with their names in the registry "SRTP Crypto Suite Registrations"
// (RFC 4568, RFC 6188, RFC 7714) and their lengths. NULL ciphers and unauthenticated suites are not
// in the table, so they cannot be chosen. A MasterKey is key and salt of one direction, with its
// MKI and lifetime. It overwrites its bytes when destroyed. The packet path never sees it: its
// contexts hold derived keys only (dataplane/srtp/).
// Used by control/ and dataplane/ (std only, no rte_*).

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace millrace {

enum class Suite : std::uint8_t {
  aead_aes_256_gcm,
  aead_aes_128_gcm,
  aes_256_cm_hmac_sha1_80,
  aes_256_cm_hmac_sha1_32,
  aes_192_cm_hmac_sha1_80,
  aes_192_cm_hmac_sha1_32,
  aes_cm_128_hmac_sha1_80,
  aes_cm_128_hmac_sha1_32,
};

enum class CipherMode : std::uint8_t {
  aes_cm,   // counter mode, authenticated by HMAC-SHA1 (RFC 3711)
  aes_gcm,  // RFC 7714
};

// Lengths in bytes. SRTCP has 80-bit tags in the suites of 32 bits, too (RFC 4568 section 6.2.2,
// RFC 6188 section 4).
struct SuiteInfo {
  Suite suite{};
  std::string_view name;
  CipherMode mode{};
  std::uint8_t key = 0, salt = 0;
  std::uint8_t rtp_tag = 0, rtcp_tag = 0;
};

inline constexpr std::array<SuiteInfo, 8> kSuites = {{
    {Suite::aead_aes_256_gcm, "AEAD_AES_256_GCM", CipherMode::aes_gcm, 32, 12, 16, 16},
    {Suite::aead_aes_128_gcm, "AEAD_AES_128_GCM", CipherMode::aes_gcm, 16, 12, 16, 16},
    {Suite::aes_256_cm_hmac_sha1_80, "AES_256_CM_HMAC_SHA1_80", CipherMode::aes_cm, 32, 14, 10, 10},
    {Suite::aes_256_cm_hmac_sha1_32, "AES_256_CM_HMAC_SHA1_32", CipherMode::aes_cm, 32, 14, 4, 10},
    {Suite::aes_192_cm_hmac_sha1_80, "AES_192_CM_HMAC_SHA1_80", CipherMode::aes_cm, 24, 14, 10, 10},
    {Suite::aes_192_cm_hmac_sha1_32, "AES_192_CM_HMAC_SHA1_32", CipherMode::aes_cm, 24, 14, 4, 10},
    {Suite::aes_cm_128_hmac_sha1_80, "AES_CM_128_HMAC_SHA1_80", CipherMode::aes_cm, 16, 14, 10, 10},
    {Suite::aes_cm_128_hmac_sha1_32, "AES_CM_128_HMAC_SHA1_32", CipherMode::aes_cm, 16, 14, 4, 10},
}};

[[nodiscard]] constexpr const SuiteInfo& info_of(Suite suite) {
  return kSuites[std::to_underlying(suite)];
}

// The suite of this registered name. None for unsupported ones: F8, SEED, NULL.
[[nodiscard]] constexpr std::optional<Suite> suite_of(std::string_view name) {
  for (const SuiteInfo& info : kSuites) {
    if (info.name == name) return info.suite;
  }
  return std::nullopt;
}

inline constexpr std::size_t kMaxMasterKey = 32, kMaxMasterSalt = 14;

// Master key identifier (RFC 3711 section 3.1), present in every packet if not empty.
class Mki {
 public:
  static constexpr std::size_t kMax = 128;  // RFC 4568 section 6.1

  Mki() = default;
  // None if longer than kMax.
  [[nodiscard]] static std::optional<Mki> of(std::span<const std::byte> bytes) {
    if (bytes.size() > kMax) return std::nullopt;
    Mki mki;
    std::ranges::copy(bytes, mki.bytes_.begin());
    mki.size_ = static_cast<std::uint8_t>(bytes.size());
    return mki;
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return std::span(bytes_).first(size_); }
  friend bool operator==(const Mki&, const Mki&) = default;

 private:
  std::uint8_t size_ = 0;
  std::array<std::byte, kMax> bytes_{};
};

class MasterKey {
 public:
  // Packets per key at most (RFC 3711 section 9.2). SRTCP has its own limit, 2^31.
  static constexpr std::uint64_t kMaxLifetime = std::uint64_t{1} << 48;

  // None unless key and salt have exactly the lengths of the suite (RFC 4568 section 6.1).
  [[nodiscard]] static std::optional<MasterKey> of(Suite suite, std::span<const std::byte> key,
                                                   std::span<const std::byte> salt) {
    const SuiteInfo& info = info_of(suite);
    if (key.size() != info.key || salt.size() != info.salt) return std::nullopt;
    std::optional<MasterKey> master(std::in_place, MasterKey(suite));
    std::ranges::copy(key, master->key_.begin());
    std::ranges::copy(salt, master->salt_.begin());
    return master;
  }
  // From the concatenation of key and salt, as in "inline:".
  [[nodiscard]] static std::optional<MasterKey> of(Suite suite, std::span<const std::byte> both) {
    const std::size_t key = std::min<std::size_t>(info_of(suite).key, both.size());
    return of(suite, both.first(key), both.subspan(key));
  }
  MasterKey(const MasterKey&) = default;
  MasterKey& operator=(const MasterKey&) = default;
  ~MasterKey() {
    ::explicit_bzero(key_.data(), key_.size());
    ::explicit_bzero(salt_.data(), salt_.size());
  }

  [[nodiscard]] Suite suite() const { return suite_; }
  [[nodiscard]] std::span<const std::byte> key() const {
    return std::span(key_).first(info_of(suite_).key);
  }
  [[nodiscard]] std::span<const std::byte> salt() const {
    return std::span(salt_).first(info_of(suite_).salt);
  }
  friend bool operator==(const MasterKey&, const MasterKey&) = default;

  Mki mki;
  std::uint64_t lifetime = kMaxLifetime;  // packets that may be sealed with it

 private:
  explicit MasterKey(Suite suite) : suite_(suite) {}

  Suite suite_;
  std::array<std::byte, kMaxMasterKey> key_{};
  std::array<std::byte, kMaxMasterSalt> salt_{};
};

static_assert([] {
  for (std::size_t i = 0; i < kSuites.size(); ++i) {
    if (std::to_underlying(kSuites[i].suite) != i) return false;
  }
  return true;
}());

}  // namespace millrace

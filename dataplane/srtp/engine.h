// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The cipher engine of one thread: AES-GCM, AES-CM and HMAC-SHA1 over bursts of packets.
//
// With intel-ipsec-mb, AES-GCM and AES-CM take one direct call per packet (or per burst and key
// size). HMAC-SHA1 runs in up to 16 SIMD lanes of one call. That call costs the same with one lane
// used as with all, so bursts of fewer than least_lanes() packets take OpenSSL's SHA-1, one by one
// (perf/srtp_bench.cc). intel-ipsec-mb 1.3 makes HMAC tags of 12 or 20 bytes only and silently
// refuses others: the engine makes 20, the caller cuts.
// On a CPU without AES-NI all ciphers run in OpenSSL. It gets the raw key with every packet and
// forgets it after the burst, so that expanded keys stay in locked memory (locked_table.h).
// An engine is not shared between threads. expand() is const and may run on any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/srtp_key.h"

struct IMB_MGR;
struct evp_cipher_ctx_st;

namespace millrace {

// Derived keys of SRTP or of SRTCP, ready for an engine.
struct alignas(64) SessionKeys {
  // HMAC-SHA1 states after the blocks of key xor ipad and key xor opad.
  std::array<std::uint32_t, 5> inner{}, outer{};
  // Left-aligned in 14 bytes, right-aligned if 12 (GCM): the IVs of both then have the same
  // structure, SSRC in bytes 4 to 7 and index in bytes 8 to 13.
  std::array<std::byte, 16> salt{};
  CipherMode mode{};
  std::uint8_t key_size = 0;
  std::uint8_t tag_size = 0;
  std::uint8_t mki_size = 0;
  // Round keys, GCM tables or the raw key: private to the engine.
  alignas(64) std::array<std::byte, 1024> cipher{};
};

// One packet.
struct CipherJob {
  const SessionKeys* keys = nullptr;
  std::byte* text = nullptr;  // to encrypt or decrypt in place
  std::size_t text_size = 0;
  const std::byte* authenticated = nullptr;  // HMAC: all bytes; GCM: the additional data
  std::size_t authenticated_size = 0;
  std::array<std::byte, 16> iv{};  // AES-CM: initial counter block. GCM: bytes 2 to 13
  std::array<std::byte, 20> tag{};
};

class Engine {
 public:
  enum class Kind : std::uint8_t { ipsec_mb, openssl };
  static constexpr std::size_t kBurst = 32;

  // The best one that this CPU can run.
  [[nodiscard]] static Kind best();

  explicit Engine(Kind kind);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  [[nodiscard]] Kind kind() const { return kind_; }
  // Least number of packets of a burst for which HMAC-SHA1 in lanes pays.
  [[nodiscard]] std::size_t least_lanes() const { return least_lanes_; }

  // Expands the raw cipher key of keys.key_size bytes into `keys`.
  void expand(std::span<const std::byte> key, SessionKeys& keys) const;

  // At most kBurst jobs each. The tag of each job becomes its whole HMAC-SHA1.
  void authenticate(std::span<CipherJob* const> jobs);
  // AES-CM.
  void crypt(std::span<CipherJob* const> jobs);
  // Encrypts and sets the tag.
  void seal_gcm(std::span<CipherJob* const> jobs);
  // Decrypts. True if the tag is correct. If not, the text is as before.
  [[nodiscard]] bool open_gcm(CipherJob& job);
  // Undoes a successful open_gcm().
  void close_gcm(CipherJob& job);

 private:
  struct Lanes;  // job structures of intel-ipsec-mb
  struct DeleteMgr {
    void operator()(IMB_MGR* mgr) const;
  };
  struct DeleteCipher {
    void operator()(evp_cipher_ctx_st* cipher) const;
  };
  using Cipher = std::unique_ptr<evp_cipher_ctx_st, DeleteCipher>;

  [[nodiscard]] evp_cipher_ctx_st* cipher_of(const SessionKeys& keys, bool encrypt);
  void forget_keys();
  void crypt_openssl(CipherJob& job);
  void seal_openssl(CipherJob& job);
  [[nodiscard]] bool open_openssl(CipherJob& job);

  Kind kind_;
  std::size_t least_lanes_ = 0;
  std::unique_ptr<IMB_MGR, DeleteMgr> mgr_;
  std::unique_ptr<Lanes> lanes_;
  std::array<Cipher, 5> ciphers_;  // OpenSSL's, by mode and key size
};

}  // namespace millrace

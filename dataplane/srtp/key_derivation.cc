// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/srtp/key_derivation.h"

#define OPENSSL_API_COMPAT 0x10100000L  // SHA1_Update(), as in engine.cc
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

namespace millrace {
namespace {

constexpr std::size_t kLabelAt = 7;  // in x = label << 48 xor salt, of 112 bits

struct DeleteCipher {
  // Wipes the expanded key.
  void operator()(EVP_CIPHER_CTX* cipher) const { EVP_CIPHER_CTX_free(cipher); }
};

[[nodiscard]] std::uint8_t* raw_of(std::byte* bytes) {
  return reinterpret_cast<std::uint8_t*>(bytes);
}

class Prf {
 public:
  explicit Prf(const MasterKey& master) : cipher_(EVP_CIPHER_CTX_new()) {
    const auto key = master.key();
    const EVP_CIPHER* const mode = key.size() == 16   ? EVP_aes_128_ctr()
                                   : key.size() == 24 ? EVP_aes_192_ctr()
                                                      : EVP_aes_256_ctr();
    // A salt of 96 bits is extended by zeros (RFC 7714 section 11).
    std::ranges::copy(master.salt(), x_.begin());
    if (EVP_EncryptInit_ex(cipher_.get(), mode, nullptr,
                           reinterpret_cast<const std::uint8_t*>(key.data()), nullptr) != 1) {
      throw std::runtime_error("OpenSSL refuses AES");
    }
  }
  Prf(const Prf&) = delete;
  Prf& operator=(const Prf&) = delete;
  ~Prf() { ::explicit_bzero(x_.data(), x_.size()); }

  void fill(unsigned label, std::span<std::byte> out) {
    x_[kLabelAt] ^= static_cast<std::byte>(label);
    std::ranges::fill(out, std::byte{0});
    int size = 0;
    const bool filled =
        EVP_EncryptInit_ex(cipher_.get(), nullptr, nullptr, nullptr, raw_of(x_.data())) == 1 &&
        EVP_EncryptUpdate(cipher_.get(), raw_of(out.data()), &size, raw_of(out.data()),
                          static_cast<int>(out.size())) == 1;
    x_[kLabelAt] ^= static_cast<std::byte>(label);
    if (!filled) throw std::runtime_error("OpenSSL refuses AES");
  }

 private:
  std::unique_ptr<EVP_CIPHER_CTX, DeleteCipher> cipher_;
  std::array<std::byte, 16> x_{};
};

// The HMAC state after the block of key xor `pad`.
void absorb(std::span<const std::byte> key, std::byte pad, std::array<std::uint32_t, 5>& state) {
  std::array<std::byte, SHA_CBLOCK> block;
  block.fill(pad);
  for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
  SHA_CTX sha;
  SHA1_Init(&sha);
  SHA1_Update(&sha, block.data(), block.size());
  state = {sha.h0, sha.h1, sha.h2, sha.h3, sha.h4};
  ::explicit_bzero(&sha, sizeof sha);
  ::explicit_bzero(block.data(), block.size());
}

}  // namespace

RawSessionKeys::~RawSessionKeys() {
  ::explicit_bzero(cipher.data(), cipher.size());
  ::explicit_bzero(authentication.data(), authentication.size());
  ::explicit_bzero(salt.data(), salt.size());
}

void derive(const MasterKey& master, PacketKind kind, RawSessionKeys& raw) {
  const SuiteInfo& suite = info_of(master.suite());
  const unsigned first = std::to_underlying(kind);
  Prf prf(master);
  prf.fill(first, std::span(raw.cipher).first(suite.key));
  prf.fill(first + 1, raw.authentication);
  prf.fill(first + 2, std::span(raw.salt).first(suite.salt));
}

void derive(const MasterKey& master, PacketKind kind, const Engine& engine, SessionKeys& keys) {
  const SuiteInfo& suite = info_of(master.suite());
  RawSessionKeys raw;
  derive(master, kind, raw);
  keys.mode = suite.mode;
  keys.key_size = suite.key;
  keys.tag_size = kind == PacketKind::rtp ? suite.rtp_tag : suite.rtcp_tag;
  keys.mki_size = static_cast<std::uint8_t>(master.mki.size());
  const std::size_t right = kMaxMasterSalt - suite.salt;
  std::ranges::copy(std::span(raw.salt).first(suite.salt),
                    keys.salt.begin() + static_cast<std::ptrdiff_t>(right));
  if (suite.mode == CipherMode::aes_cm) {
    absorb(raw.authentication, std::byte{0x36}, keys.inner);
    absorb(raw.authentication, std::byte{0x5c}, keys.outer);
  }
  engine.expand(std::span(raw.cipher).first(suite.key), keys);
}

}  // namespace millrace

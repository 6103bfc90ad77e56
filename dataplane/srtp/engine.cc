// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/srtp/engine.h"

#define NO_COMPAT_IMB_API_053  // its macro SHA1 clashes with OpenSSL's function
#include <intel-ipsec-mb.h>

// SHA1_Update() on a caller's context is deprecated since OpenSSL 3.0, and costs half of EVP_MAC.
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <bit>
#include <cassert>
#include <cstring>
#include <stdexcept>
#include <string>

#include "dataplane/wire/bytes.h"

namespace millrace {

static_assert(sizeof(gcm_key_data) <= sizeof(SessionKeys::cipher));
static_assert(alignof(gcm_key_data) <= 64);

// Fields that all packets share are set once.
struct Engine::Lanes {
  gcm_context_data gcm;
  std::array<IMB_JOB, kBurst> ciphers;
  std::array<IMB_JOB, kBurst> hashes;
};

namespace {

[[nodiscard]] std::uint8_t* raw(std::byte* bytes) { return reinterpret_cast<std::uint8_t*>(bytes); }
[[nodiscard]] const std::uint8_t* raw(const std::byte* bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes);
}
[[nodiscard]] int length(std::size_t size) { return static_cast<int>(size); }

[[nodiscard]] const gcm_key_data* gcm_of(const SessionKeys& keys) {
  return reinterpret_cast<const gcm_key_data*>(keys.cipher.data());
}
[[nodiscard]] const std::uint8_t* gcm_iv(const CipherJob& job) { return raw(job.iv.data()) + 2; }

constexpr std::size_t kGcmTag = 16;

[[nodiscard]] SHA_CTX resume(const std::array<std::uint32_t, 5>& state) {
  SHA_CTX sha{};
  sha.h0 = state[0];
  sha.h1 = state[1];
  sha.h2 = state[2];
  sha.h3 = state[3];
  sha.h4 = state[4];
  sha.Nl = 8 * SHA_CBLOCK;  // one block of the key is in the state
  return sha;
}

void hmac_sha1(CipherJob& job) {
  SHA_CTX sha = resume(job.keys->inner);
  SHA1_Update(&sha, job.authenticated, job.authenticated_size);
  SHA1_Final(raw(job.tag.data()), &sha);
  sha = resume(job.keys->outer);
  SHA1_Update(&sha, job.tag.data(), job.tag.size());
  SHA1_Final(raw(job.tag.data()), &sha);
}

void check(int done) {
  if (done != 1) throw std::runtime_error("OpenSSL refuses AES");
}

}  // namespace

void Engine::DeleteMgr::operator()(IMB_MGR* mgr) const { free_mb_mgr(mgr); }
void Engine::DeleteCipher::operator()(evp_cipher_ctx_st* cipher) const {
  EVP_CIPHER_CTX_free(cipher);
}

Engine::Kind Engine::best() {
  return __builtin_cpu_supports("aes") != 0 && __builtin_cpu_supports("pclmul") != 0
             ? Kind::ipsec_mb
             : Kind::openssl;
}

Engine::Engine(Kind kind) : kind_(kind), least_lanes_(kBurst + 1) {
  if (kind_ == Kind::openssl) {
    const std::array modes = {EVP_aes_128_ctr(), EVP_aes_192_ctr(), EVP_aes_256_ctr(),
                              EVP_aes_128_gcm(), EVP_aes_256_gcm()};
    for (std::size_t i = 0; i < modes.size(); ++i) {
      ciphers_[i].reset(EVP_CIPHER_CTX_new());
      check(EVP_CipherInit_ex(ciphers_[i].get(), modes[i], nullptr, nullptr, nullptr, 1));
    }
    return;
  }
  mgr_.reset(alloc_mb_mgr(0));
  if (!mgr_) throw std::runtime_error("intel-ipsec-mb: no memory");
  init_mb_mgr_auto(mgr_.get(), nullptr);
  if (const int error = imb_get_errno(mgr_.get()); error != 0) {
    throw std::runtime_error(std::string("intel-ipsec-mb: ") + imb_get_strerror(error));
  }
  // Measured at 160 bytes. SHA instructions make the single packet cheaper.
  least_lanes_ = (mgr_->features & IMB_FEATURE_SHANI) != 0 ? 8 : 4;
  lanes_ = std::make_unique<Lanes>();
  for (IMB_JOB& job : lanes_->ciphers) job.iv_len_in_bytes = 16;
  for (IMB_JOB& job : lanes_->hashes) job.auth_tag_output_len_in_bytes = SHA_DIGEST_LENGTH;
}

Engine::~Engine() = default;

void Engine::expand(std::span<const std::byte> key, SessionKeys& keys) const {
  assert(key.size() == keys.key_size);
  if (kind_ == Kind::openssl) {
    std::memcpy(keys.cipher.data(), key.data(), key.size());
    return;
  }
  auto* const gcm = reinterpret_cast<gcm_key_data*>(keys.cipher.data());
  if (keys.mode == CipherMode::aes_gcm) {
    (key.size() == 16 ? mgr_->gcm128_pre : mgr_->gcm256_pre)(key.data(), gcm);
    return;
  }
  alignas(16) std::array<std::byte, 240> decrypting;  // counter mode has no use for them
  const keyexp_t expansion = key.size() == 16   ? mgr_->keyexp_128
                             : key.size() == 24 ? mgr_->keyexp_192
                                                : mgr_->keyexp_256;
  expansion(key.data(), keys.cipher.data(), decrypting.data());
  ::explicit_bzero(decrypting.data(), decrypting.size());
}

void Engine::authenticate(std::span<CipherJob* const> jobs) {
  if (jobs.size() < least_lanes_) {
    for (CipherJob* const job : jobs) hmac_sha1(*job);
    return;
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    IMB_JOB& lane = lanes_->hashes[i];
    CipherJob& job = *jobs[i];
    lane.src = raw(job.authenticated);
    lane.msg_len_to_hash_in_bytes = job.authenticated_size;
    lane.auth_tag_output = raw(job.tag.data());
    lane.u.HMAC._hashed_auth_key_xor_ipad =
        reinterpret_cast<const std::uint8_t*>(job.keys->inner.data());
    lane.u.HMAC._hashed_auth_key_xor_opad =
        reinterpret_cast<const std::uint8_t*>(job.keys->outer.data());
  }
  mgr_->submit_hash_burst_nocheck(mgr_.get(), lanes_->hashes.data(),
                                  static_cast<std::uint32_t>(jobs.size()), IMB_AUTH_HMAC_SHA_1);
}

void Engine::crypt(std::span<CipherJob* const> jobs) {
  if (kind_ == Kind::openssl) {
    for (CipherJob* const job : jobs) crypt_openssl(*job);
    forget_keys();
    return;
  }
  for (const IMB_KEY_SIZE_BYTES size : {IMB_KEY_128_BYTES, IMB_KEY_192_BYTES, IMB_KEY_256_BYTES}) {
    std::uint32_t count = 0;
    for (const CipherJob* const job : jobs) {
      if (job->keys->key_size != size || job->text_size == 0) continue;
      IMB_JOB& lane = lanes_->ciphers[count++];
      lane.enc_keys = job->keys->cipher.data();
      lane.src = raw(job->text);
      lane.dst = raw(job->text);
      lane.msg_len_to_cipher_in_bytes = job->text_size;
      lane.iv = raw(job->iv.data());
    }
    if (count == 0) continue;
    mgr_->submit_cipher_burst_nocheck(mgr_.get(), lanes_->ciphers.data(), count, IMB_CIPHER_CNTR,
                                      IMB_DIR_ENCRYPT, size);
  }
}

void Engine::seal_gcm(std::span<CipherJob* const> jobs) {
  if (kind_ == Kind::openssl) {
    for (CipherJob* const job : jobs) seal_openssl(*job);
    forget_keys();
    return;
  }
  for (CipherJob* const job : jobs) {
    const auto seal = job->keys->key_size == 16 ? mgr_->gcm128_enc : mgr_->gcm256_enc;
    seal(gcm_of(*job->keys), &lanes_->gcm, raw(job->text), raw(job->text), job->text_size,
         gcm_iv(*job), raw(job->authenticated), job->authenticated_size, raw(job->tag.data()),
         kGcmTag);
  }
}

bool Engine::open_gcm(CipherJob& job) {
  bool correct = false;
  if (kind_ == Kind::openssl) {
    correct = open_openssl(job);
  } else {
    alignas(16) std::array<std::byte, kGcmTag> tag;
    const auto open = job.keys->key_size == 16 ? mgr_->gcm128_dec : mgr_->gcm256_dec;
    open(gcm_of(*job.keys), &lanes_->gcm, raw(job.text), raw(job.text), job.text_size, gcm_iv(job),
         raw(job.authenticated), job.authenticated_size, raw(tag.data()), kGcmTag);
    using Words = std::array<std::uint64_t, 2>;
    const auto is = load<Words>(tag.data()), claimed = load<Words>(job.tag.data());
    correct = ((is[0] ^ claimed[0]) | (is[1] ^ claimed[1])) == 0;
  }
  if (!correct) [[unlikely]]
    close_gcm(job);
  return correct;
}

// Encrypting and decrypting are the same in counter mode.
void Engine::close_gcm(CipherJob& job) {
  CipherJob* const one = &job;
  const auto tag = job.tag;
  seal_gcm({&one, 1});
  job.tag = tag;
}

// The calls fail only on wrong parameters, which the constructor has checked.
evp_cipher_ctx_st* Engine::cipher_of(const SessionKeys& keys, bool encrypt) {
  const bool gcm = keys.mode == CipherMode::aes_gcm;
  const std::size_t at = gcm ? (keys.key_size == 16 ? 3 : 4) : (keys.key_size - 16U) / 8;
  EVP_CIPHER_CTX* const cipher = ciphers_[at].get();
  EVP_CipherInit_ex(cipher, nullptr, nullptr, raw(keys.cipher.data()), nullptr, encrypt ? 1 : 0);
  return cipher;
}

// Overwrites the round keys in OpenSSL's contexts.
void Engine::forget_keys() {
  static constexpr std::array<std::uint8_t, 32> kNone{};
  for (const Cipher& cipher : ciphers_) {
    EVP_CipherInit_ex(cipher.get(), nullptr, nullptr, kNone.data(), kNone.data(), 1);
  }
}

void Engine::crypt_openssl(CipherJob& job) {
  EVP_CIPHER_CTX* const cipher = cipher_of(*job.keys, true);
  int size = 0;
  EVP_CipherInit_ex(cipher, nullptr, nullptr, nullptr, raw(job.iv.data()), -1);
  EVP_CipherUpdate(cipher, raw(job.text), &size, raw(job.text), length(job.text_size));
}

void Engine::seal_openssl(CipherJob& job) {
  EVP_CIPHER_CTX* const cipher = cipher_of(*job.keys, true);
  int size = 0;
  EVP_CipherInit_ex(cipher, nullptr, nullptr, nullptr, gcm_iv(job), -1);
  EVP_CipherUpdate(cipher, nullptr, &size, raw(job.authenticated), length(job.authenticated_size));
  EVP_CipherUpdate(cipher, raw(job.text), &size, raw(job.text), length(job.text_size));
  EVP_CipherFinal_ex(cipher, raw(job.text), &size);  // writes nothing: a stream cipher
  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, length(kGcmTag), job.tag.data());
}

bool Engine::open_openssl(CipherJob& job) {
  EVP_CIPHER_CTX* const cipher = cipher_of(*job.keys, false);
  int size = 0;
  EVP_CipherInit_ex(cipher, nullptr, nullptr, nullptr, gcm_iv(job), -1);
  EVP_CipherUpdate(cipher, nullptr, &size, raw(job.authenticated), length(job.authenticated_size));
  EVP_CipherUpdate(cipher, raw(job.text), &size, raw(job.text), length(job.text_size));
  EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, length(kGcmTag), job.tag.data());
  const bool correct = EVP_CipherFinal_ex(cipher, raw(job.text), &size) == 1;
  forget_keys();
  return correct;
}

}  // namespace millrace

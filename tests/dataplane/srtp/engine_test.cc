// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/srtp/engine.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <random>

#include <gtest/gtest.h>

#include "tests/dataplane/srtp/srtp_lab.h"

namespace millrace {
namespace {

using Kind = Engine::Kind;

// A burst of random packets, each under a key of its own.
struct Burst {
  Burst(const Engine& engine, std::size_t count, unsigned seed, std::span<const Suite> suites)
      : random(seed), keys(count), raw(count), packets(count), jobs(count) {
    for (std::size_t i = 0; i < count; ++i) {
      const MasterKey master = key_of(suites[i % suites.size()], seed + static_cast<unsigned>(i));
      derive(master, PacketKind::rtp, raw[i]);
      derive(master, PacketKind::rtp, engine, keys[i]);
      packets[i].resize(13 + random() % 1400);
      std::ranges::generate(packets[i], [&] { return static_cast<std::byte>(random() >> 8); });
      jobs[i] = {.keys = &keys[i],
                 .text = packets[i].data() + 12,
                 .text_size = packets[i].size() - 12,
                 .authenticated = packets[i].data(),
                 .authenticated_size = packets[i].size(),
                 .iv = keys[i].salt};
      pointers.push_back(&jobs[i]);
    }
  }

  std::minstd_rand random;
  std::vector<SessionKeys> keys;
  std::vector<RawSessionKeys> raw;
  std::vector<Bytes> packets;
  std::vector<CipherJob> jobs;
  std::vector<CipherJob*> pointers;
};

constexpr std::array kCounterSuites = {
    Suite::aes_cm_128_hmac_sha1_80, Suite::aes_192_cm_hmac_sha1_80, Suite::aes_256_cm_hmac_sha1_32};
constexpr std::array kGcmSuites = {Suite::aead_aes_128_gcm, Suite::aead_aes_256_gcm};

// Both sides of least_lanes(), every number of lanes, lengths and keys mixed.
TEST(Engine, TagsAreHmacSha1InEveryBurst) {
  for (const Kind kind : {Kind::ipsec_mb, Kind::openssl}) {
    Engine engine(kind);
    for (std::size_t count = 1; count <= Engine::kBurst; ++count) {
      Burst burst(engine, count, 17 * static_cast<unsigned>(count), kCounterSuites);
      engine.authenticate(burst.pointers);
      for (std::size_t i = 0; i < count; ++i) {
        std::array<std::byte, 20> expected;
        unsigned size = 0;
        HMAC(EVP_sha1(), burst.raw[i].authentication.data(), 20,
             reinterpret_cast<const unsigned char*>(burst.packets[i].data()),
             burst.packets[i].size(), reinterpret_cast<unsigned char*>(expected.data()), &size);
        ASSERT_EQ(burst.jobs[i].tag, expected) << count << ' ' << i;
      }
    }
  }
}

TEST(Engine, CountersAgreeAndKeySizesMix) {
  Engine ipsec_mb(Kind::ipsec_mb), openssl(Kind::openssl);
  Burst one(ipsec_mb, 32, 5, kCounterSuites), other(openssl, 32, 5, kCounterSuites);
  const auto plain = one.packets;
  one.jobs[3].text_size = other.jobs[3].text_size = 0;
  ipsec_mb.crypt(one.pointers);
  openssl.crypt(other.pointers);
  EXPECT_EQ(one.packets, other.packets);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(one.packets[i] == plain[i], i == 3) << i;
  ipsec_mb.crypt(one.pointers);
  EXPECT_EQ(one.packets, plain);
}

TEST(Engine, GcmAgrees) {
  Engine ipsec_mb(Kind::ipsec_mb), openssl(Kind::openssl);
  Burst one(ipsec_mb, 32, 9, kGcmSuites), other(openssl, 32, 9, kGcmSuites);
  for (Burst* const burst : {&one, &other}) {
    for (CipherJob& job : burst->jobs) job.authenticated_size = 12;
    burst->jobs[4].text_size = 0;
    burst->jobs[5].authenticated_size = 0;
  }
  const auto plain = one.packets;
  ipsec_mb.seal_gcm(one.pointers);
  openssl.seal_gcm(other.pointers);
  EXPECT_EQ(one.packets, other.packets);
  for (std::size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(one.jobs[i].tag, other.jobs[i].tag) << i;
    // Each opens what the other has sealed.
    std::swap(one.jobs[i].text, other.jobs[i].text);
    std::swap(one.jobs[i].authenticated, other.jobs[i].authenticated);
    EXPECT_TRUE(ipsec_mb.open_gcm(one.jobs[i]));
    EXPECT_TRUE(openssl.open_gcm(other.jobs[i]));
  }
  EXPECT_EQ(one.packets, plain);
  EXPECT_EQ(other.packets, plain);
}

TEST(Engine, GcmLeavesTheTextOfAWrongTag) {
  for (const Kind kind : {Kind::ipsec_mb, Kind::openssl}) {
    Engine engine(kind);
    Burst burst(engine, 2, 3, kGcmSuites);
    for (CipherJob& job : burst.jobs) job.authenticated_size = 12;
    engine.seal_gcm(burst.pointers);
    const auto sealed = burst.packets;
    for (CipherJob& job : burst.jobs) {
      const auto tag = job.tag;
      for (std::size_t bit = 0; bit < 128; ++bit) {
        job.tag = tag;
        job.tag[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
        ASSERT_FALSE(engine.open_gcm(job));
        ASSERT_EQ(burst.packets, sealed);
      }
      job.tag = tag;
      EXPECT_TRUE(engine.open_gcm(job));
      engine.close_gcm(job);
      EXPECT_EQ(burst.packets, sealed);
      EXPECT_EQ(job.tag, tag);
    }
  }
}

TEST(Engine, NeedsNoAesInstructionsWithOpenssl) {
  EXPECT_EQ(Engine(Engine::best()).kind(), Engine::best());
  EXPECT_GT(Engine(Kind::openssl).least_lanes(), Engine::kBurst);
  const std::size_t least = Engine(Kind::ipsec_mb).least_lanes();
  EXPECT_TRUE(least == 4 || least == 8);
}

}  // namespace
}  // namespace millrace

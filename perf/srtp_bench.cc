// SPDX-License-Identifier: BSD-3-Clause
// Cost of SRTP per packet of G.711 (160 bytes of payload), beside OpenSSL EVP in the same run.
//
//   seal, open  from plain RTP, to plain RTP
//   reseal      from one key to another
//
// A lap is 1,024 packets in bursts, of 1 or 1,000 flows in random order, each with keys of its own.
// Laps of Srtp and of EVP alternate. Srtp does all that RFC 3711 asks for (index, replay list). EVP
// does the ciphers only, on contexts that each flow keeps, so the ratio is a lower bound.
// `evp`: its cycles per packet. `ratio`: evp / cycles.

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

// HMAC_CTX is deprecated since OpenSSL 3.0, and the fastest of its interfaces for HMAC.
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <benchmark/benchmark.h>
#include <rte_cycles.h>

#include "dataplane/srtp/context.h"
#include "dataplane/srtp/srtp.h"
#include "dataplane/wire/bytes.h"

namespace millrace::perf {
namespace {

constexpr std::size_t kMaxFlows = 1000;
constexpr std::size_t kPackets = 1024;  // as many as a ring has descriptors
constexpr std::uint32_t kSize = 12 + 160;
constexpr std::uint32_t kStride = 2048 + 128;  // as of mbufs
constexpr std::uint32_t kRoom = kSize + 16;

[[nodiscard]] std::uint8_t* raw(std::byte* bytes) { return reinterpret_cast<std::uint8_t*>(bytes); }

[[nodiscard]] MasterKey key_of(Suite suite, unsigned seed) {
  std::minstd_rand random(seed + 1);
  std::vector<std::byte> both(info_of(suite).key + info_of(suite).salt);
  std::ranges::generate(both, [&] { return static_cast<std::byte>(random() >> 8); });
  return *MasterKey::of(suite, both);
}

// The ciphers of one flow and direction by EVP.
class Evp {
 public:
  explicit Evp(const MasterKey& master) : suite_(info_of(master.suite())) {
    derive(master, PacketKind::rtp, keys_);
    const bool gcm = suite_.mode == CipherMode::aes_gcm;
    const EVP_CIPHER* const mode = gcm ? EVP_aes_128_gcm() : EVP_aes_128_ctr();
    EVP_CipherInit_ex(seal_.get(), mode, nullptr, raw(keys_.cipher.data()), nullptr, 1);
    EVP_CipherInit_ex(open_.get(), mode, nullptr, raw(keys_.cipher.data()), nullptr, gcm ? 0 : 1);
    HMAC_Init_ex(hmac_.get(), keys_.authentication.data(), 20, EVP_sha1(), nullptr);
  }

  void seal(std::byte* packet, std::uint32_t size) {
    int done = 0;
    const auto text = static_cast<int>(size - 12);
    const auto iv = iv_of(packet);
    const bool gcm = suite_.mode == CipherMode::aes_gcm;
    EVP_CipherInit_ex(seal_.get(), nullptr, nullptr, nullptr, iv.data() + (gcm ? 2 : 0), -1);
    if (gcm) {
      EVP_CipherUpdate(seal_.get(), nullptr, &done, raw(packet), 12);
      EVP_CipherUpdate(seal_.get(), raw(packet + 12), &done, raw(packet + 12), text);
      EVP_CipherFinal_ex(seal_.get(), raw(packet + 12), &done);
      EVP_CIPHER_CTX_ctrl(seal_.get(), EVP_CTRL_AEAD_GET_TAG, 16, packet + size);
      return;
    }
    EVP_CipherUpdate(seal_.get(), raw(packet + 12), &done, raw(packet + 12), text);
    const auto tag = tag_of(packet, size);
    std::copy_n(tag.begin(), 10, packet + size);
  }
  // `size` without the tag.
  [[nodiscard]] bool open(std::byte* packet, std::uint32_t size) {
    int done = 0;
    const auto text = static_cast<int>(size - 12);
    const auto iv = iv_of(packet);
    const bool gcm = suite_.mode == CipherMode::aes_gcm;
    if (!gcm && CRYPTO_memcmp(tag_of(packet, size).data(), packet + size, 10) != 0) return false;
    EVP_CipherInit_ex(open_.get(), nullptr, nullptr, nullptr, iv.data() + (gcm ? 2 : 0), -1);
    if (!gcm) {
      return EVP_CipherUpdate(open_.get(), raw(packet + 12), &done, raw(packet + 12), text) == 1;
    }
    EVP_CIPHER_CTX_ctrl(open_.get(), EVP_CTRL_AEAD_SET_TAG, 16, packet + size);
    EVP_CipherUpdate(open_.get(), nullptr, &done, raw(packet), 12);
    EVP_CipherUpdate(open_.get(), raw(packet + 12), &done, raw(packet + 12), text);
    return EVP_CipherFinal_ex(open_.get(), raw(packet + 12), &done) == 1;
  }

 private:
  struct Delete {
    void operator()(EVP_CIPHER_CTX* cipher) const { EVP_CIPHER_CTX_free(cipher); }
    void operator()(HMAC_CTX* hmac) const { HMAC_CTX_free(hmac); }
  };

  // AES-CM: all 16 bytes. GCM: from byte 2 on.
  [[nodiscard]] std::array<std::uint8_t, 16> iv_of(const std::byte* packet) const {
    std::array<std::uint8_t, 16> iv{};
    std::memcpy(iv.data() + 14 - suite_.salt, keys_.salt.data(), suite_.salt);
    for (std::size_t i = 0; i < 4; ++i) iv[4 + i] ^= std::to_integer<std::uint8_t>(packet[8 + i]);
    for (std::size_t i = 0; i < 2; ++i) iv[12 + i] ^= std::to_integer<std::uint8_t>(packet[2 + i]);
    return iv;
  }
  [[nodiscard]] std::array<std::byte, 20> tag_of(const std::byte* packet, std::uint32_t size) {
    constexpr std::array<std::uint8_t, 4> kRoc{};
    std::array<std::byte, 20> tag;
    unsigned done = 0;
    HMAC_Init_ex(hmac_.get(), nullptr, 0, nullptr, nullptr);
    HMAC_Update(hmac_.get(), reinterpret_cast<const std::uint8_t*>(packet), size);
    HMAC_Update(hmac_.get(), kRoc.data(), kRoc.size());
    HMAC_Final(hmac_.get(), raw(tag.data()), &done);
    return tag;
  }

  const SuiteInfo& suite_;
  RawSessionKeys keys_;
  std::unique_ptr<EVP_CIPHER_CTX, Delete> seal_{EVP_CIPHER_CTX_new()}, open_{EVP_CIPHER_CTX_new()};
  std::unique_ptr<HMAC_CTX, Delete> hmac_{HMAC_CTX_new()};
};

// Flows under two keys each: `first` on the way in, `second` on the way out.
class Lane {
 public:
  Lane(Suite suite, std::size_t flows) : tag_(info_of(suite).rtp_tag), buffer_(kPackets * kStride) {
    for (unsigned i = 0; i < flows; ++i) {
      const MasterKey first = key_of(suite, 2 * i), second = key_of(suite, 2 * i + 1);
      open_.push_back(contexts_.make_opening(first));
      seal_first_.push_back(contexts_.make_sealing(first));
      seal_second_.push_back(contexts_.make_sealing(second));
      evp_first_.push_back(std::make_unique<Evp>(first));
      evp_second_.push_back(std::make_unique<Evp>(second));
    }
    for (std::size_t i = 0; i < kPackets; ++i) order_.push_back(i % flows);
    std::ranges::shuffle(order_, std::minstd_rand(1));
  }
  // The next packets of all flows.
  void fill() {
    for (std::size_t i = 0; i < kPackets; ++i) {
      std::byte* const packet = at(i);
      std::fill_n(packet, kSize, static_cast<std::byte>(i));
      store(packet, Be32(0x8000'0000U | sequence_[order_[i]]++));
      store(packet + 8, Be32(static_cast<std::uint32_t>(order_[i])));
    }
  }
  std::uint64_t srtp_seal(std::size_t burst) {
    return run_srtp(burst, kSize, nullptr, &seal_first_);
  }
  std::uint64_t srtp_open(std::size_t burst) {
    return run_srtp(burst, kSize + tag_, &open_, nullptr);
  }
  std::uint64_t srtp_reseal(std::size_t burst) {
    return run_srtp(burst, kSize + tag_, &open_, &seal_second_);
  }
  std::uint64_t evp_seal(std::size_t) {
    return run_evp([this](std::size_t flow, std::byte* packet) {
      evp_first_[flow]->seal(packet, kSize);
      return true;
    });
  }
  std::uint64_t evp_open(std::size_t) {
    return run_evp([this](std::size_t flow, std::byte* packet) {
      return evp_first_[flow]->open(packet, kSize);
    });
  }
  std::uint64_t evp_reseal(std::size_t) {
    return run_evp([this](std::size_t flow, std::byte* packet) {
      const bool opened = evp_first_[flow]->open(packet, kSize);
      evp_second_[flow]->seal(packet, kSize);
      return opened;
    });
  }
  [[nodiscard]] std::size_t failed() const { return failed_; }

 private:
  [[nodiscard]] std::byte* at(std::size_t i) { return buffer_.data() + i * kStride; }

  std::uint64_t run_srtp(std::size_t burst, std::uint32_t size,
                         const std::vector<OpeningContext*>* from,
                         const std::vector<SealingContext*>* to) {
    std::array<SrtpPacket, Srtp::kBurst> packets;
    const std::uint64_t start = rte_rdtsc_precise();
    for (std::size_t i = 0; i < kPackets; i += burst) {
      for (std::size_t p = 0; p < burst; ++p) {
        const std::size_t flow = order_[i + p];
        packets[p] = {.from = from == nullptr ? nullptr : (*from)[flow],
                      .to = to == nullptr ? nullptr : (*to)[flow],
                      .data = at(i + p),
                      .size = size,
                      .room = kRoom};
      }
      srtp_.process(std::span(packets).first(burst), Tsc{start});
      for (std::size_t p = 0; p < burst; ++p) failed_ += packets[p].verdict != SrtpVerdict::ok;
    }
    return rte_rdtsc_precise() - start;
  }
  template <typename Step>
  std::uint64_t run_evp(Step&& step) {
    const std::uint64_t start = rte_rdtsc_precise();
    for (std::size_t i = 0; i < kPackets; ++i) failed_ += !step(order_[i], at(i));
    return rte_rdtsc_precise() - start;
  }

  std::uint32_t tag_;
  SrtpContexts contexts_ = *SrtpContexts::make(2 * kMaxFlows, Engine::best());
  Srtp srtp_{Engine::best()};
  std::vector<OpeningContext*> open_;
  std::vector<SealingContext*> seal_first_, seal_second_;
  std::vector<std::unique_ptr<Evp>> evp_first_, evp_second_;
  std::array<std::uint16_t, kMaxFlows> sequence_{};
  std::vector<std::size_t> order_;
  std::vector<std::byte> buffer_;
  std::size_t failed_ = 0;
};

[[nodiscard]] double median_per_packet(std::vector<std::uint64_t>& laps, std::size_t packets) {
  const auto middle = laps.begin() + static_cast<std::ptrdiff_t>(laps.size() / 2);
  std::ranges::nth_element(laps, middle);
  return static_cast<double>(*middle) / static_cast<double>(packets);
}

using Lap = std::uint64_t (Lane::*)(std::size_t burst);

struct Case {
  Suite suite;
  Lap srtp, evp;
  bool sealed;  // the lap begins with sealed packets
};

void srtp(benchmark::State& state, const Case& what) {
  Lane lane(what.suite, static_cast<std::size_t>(state.range(0)));
  const auto burst = static_cast<std::size_t>(state.range(1));
  std::vector<std::uint64_t> ours, theirs;
  for ([[maybe_unused]] auto _ : state) {
    lane.fill();
    if (what.sealed) lane.srtp_seal(Srtp::kBurst);
    ours.push_back((lane.*what.srtp)(burst));
    lane.fill();
    if (what.sealed) lane.evp_seal(1);
    theirs.push_back((lane.*what.evp)(burst));
  }
  if (lane.failed() != 0) state.SkipWithError("not all packets opened and sealed");
  const double cycles = median_per_packet(ours, kPackets);
  const double evp = median_per_packet(theirs, kPackets);
  state.counters["cycles/packet"] = cycles;
  state.counters["evp"] = evp;
  state.counters["ratio"] = evp / cycles;
}

void by_burst(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"flows", "burst"})->Iterations(61);
  for (const std::int64_t burst : {32, 16, 8, 4, 1}) bench->Args({1000, burst});
  for (const std::int64_t burst : {32, 1}) bench->Args({1, burst});
}
constexpr Suite kGcm = Suite::aead_aes_128_gcm;
constexpr Suite kCm = Suite::aes_cm_128_hmac_sha1_80;
constexpr Case kGcmSeal{kGcm, &Lane::srtp_seal, &Lane::evp_seal, false};
constexpr Case kGcmOpen{kGcm, &Lane::srtp_open, &Lane::evp_open, true};
constexpr Case kGcmReseal{kGcm, &Lane::srtp_reseal, &Lane::evp_reseal, true};
constexpr Case kCmSeal{kCm, &Lane::srtp_seal, &Lane::evp_seal, false};
constexpr Case kCmOpen{kCm, &Lane::srtp_open, &Lane::evp_open, true};
constexpr Case kCmReseal{kCm, &Lane::srtp_reseal, &Lane::evp_reseal, true};
BENCHMARK_CAPTURE(srtp, gcm_seal, kGcmSeal)->Apply(by_burst);
BENCHMARK_CAPTURE(srtp, gcm_open, kGcmOpen)->Apply(by_burst);
BENCHMARK_CAPTURE(srtp, gcm_reseal, kGcmReseal)->Apply(by_burst);
BENCHMARK_CAPTURE(srtp, cm80_seal, kCmSeal)->Apply(by_burst);
BENCHMARK_CAPTURE(srtp, cm80_open, kCmOpen)->Apply(by_burst);
BENCHMARK_CAPTURE(srtp, cm80_reseal, kCmReseal)->Apply(by_burst);

}  // namespace
}  // namespace millrace::perf

BENCHMARK_MAIN();

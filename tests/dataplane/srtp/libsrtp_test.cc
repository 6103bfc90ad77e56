// SPDX-License-Identifier: BSD-3-Clause
// Cross-check with libsrtp, both ways: RTP and RTCP, MKI, and wraps of the sequence number.
//
// Two differences of libsrtp 2.5. It derives the session keys of AES-192 by AES-256, with a part of
// the salt in the key, against RFC 6188 section 3: the vectors of that RFC stand in for these
// suites. And it expects the MKI of SRTCP in front of a tag as long as that of SRTP, which is wrong
// for the suites of 32 bits.

#include <srtp2/srtp.h>

#include <tuple>

#include <gtest/gtest.h>

#include "tests/dataplane/srtp/srtp_lab.h"

namespace millrace {
namespace {

void set_policy(Suite suite, srtp_crypto_policy_t& policy, bool rtcp) {
  switch (suite) {
    case Suite::aead_aes_256_gcm:
      srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy);
      break;
    case Suite::aead_aes_128_gcm:
      srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy);
      break;
    case Suite::aes_256_cm_hmac_sha1_80:
    case Suite::aes_256_cm_hmac_sha1_32:
      srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(&policy);
      break;
    default:
      srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy);
      break;
  }
  if (!rtcp) policy.auth_tag_len = info_of(suite).rtp_tag;
}

// A session of libsrtp.
class Peer {
 public:
  Peer(const MasterKey& master, srtp_ssrc_type_t direction) : use_mki_(master.mki.size() != 0) {
    srtp_init();
    for (const auto bytes : {master.key(), master.salt()}) {
      key_.insert(key_.end(), bytes.begin(), bytes.end());
    }
    mki_.assign(master.mki.bytes().begin(), master.mki.bytes().end());
    srtp_master_key_t keys{reinterpret_cast<unsigned char*>(key_.data()),
                           reinterpret_cast<unsigned char*>(mki_.data()),
                           static_cast<unsigned>(mki_.size())};
    srtp_master_key_t* list = &keys;
    srtp_policy_t policy{};
    set_policy(master.suite(), policy.rtp, false);
    set_policy(master.suite(), policy.rtcp, true);
    policy.ssrc.type = direction;
    if (use_mki_) {
      policy.keys = &list;
      policy.num_master_keys = 1;
    } else {
      policy.key = keys.key;
    }
    policy.window_size = 128;
    if (srtp_create(&session_, &policy) != srtp_err_status_ok) {
      throw std::runtime_error("libsrtp has no " + std::string(info_of(master.suite()).name));
    }
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { srtp_dealloc(session_); }

  [[nodiscard]] Bytes sealed(Bytes packet, PacketKind kind) {
    int size = static_cast<int>(packet.size());
    packet.resize(packet.size() + SRTP_MAX_TRAILER_LEN + 4 + 128);
    const auto protect = kind == PacketKind::rtp ? srtp_protect_mki : srtp_protect_rtcp_mki;
    EXPECT_EQ(protect(session_, packet.data(), &size, use_mki_ ? 1 : 0, 0), srtp_err_status_ok);
    packet.resize(static_cast<std::size_t>(size));
    return packet;
  }
  [[nodiscard]] Bytes opened(Bytes packet, PacketKind kind) {
    int size = static_cast<int>(packet.size());
    const auto unprotect = kind == PacketKind::rtp ? srtp_unprotect_mki : srtp_unprotect_rtcp_mki;
    EXPECT_EQ(unprotect(session_, packet.data(), &size, use_mki_ ? 1 : 0), srtp_err_status_ok);
    packet.resize(static_cast<std::size_t>(size));
    return packet;
  }

 private:
  bool use_mki_;
  Bytes key_, mki_;
  srtp_t session_ = nullptr;
};

class Libsrtp : public testing::TestWithParam<std::tuple<Suite, std::size_t>> {
 protected:
  // The kinds of packets that it reads as the RFCs say.
  [[nodiscard]] static std::vector<PacketKind> kinds() {
    const SuiteInfo& info = info_of(std::get<0>(GetParam()));
    if (std::get<1>(GetParam()) != 0 && info.rtp_tag != info.rtcp_tag) return {PacketKind::rtp};
    return {PacketKind::rtp, PacketKind::rtcp};
  }
  [[nodiscard]] static MasterKey master() {
    MasterKey key = key_of(std::get<0>(GetParam()));
    key.mki = Mki::of(Bytes(std::get<1>(GetParam()), std::byte{0x4d})).value();
    return key;
  }

  SrtpLab lab;
  OpeningContext& from = lab.opening(master());
  SealingContext& to = lab.sealing(master());
};

TEST_P(Libsrtp, OpensWhatWeSeal) {
  Peer peer(master(), ssrc_any_inbound);
  for (std::uint16_t i = 0; i < 200; ++i) {
    for (const PacketKind kind : kinds()) {
      const Bytes plain = kind == PacketKind::rtp ? rtp_packet(i, i) : rtcp_packet(i);
      ASSERT_EQ(peer.opened(lab.sealed(to, plain, kind), kind), plain) << i;
    }
  }
}

TEST_P(Libsrtp, SealsWhatWeOpen) {
  Peer peer(master(), ssrc_any_outbound);
  for (std::uint16_t i = 0; i < 200; ++i) {
    for (const PacketKind kind : {PacketKind::rtp, PacketKind::rtcp}) {
      const Bytes plain = kind == PacketKind::rtp ? rtp_packet(i, i) : rtcp_packet(i);
      Bytes packet = peer.sealed(plain, kind);
      ASSERT_EQ(lab.open(from, packet, kind), SrtpVerdict::ok) << i;
      ASSERT_EQ(packet, plain);
    }
  }
}

// From 65,530, every 500th packet, over two wraps.
TEST_P(Libsrtp, AgreesOverWraps) {
  Peer receiver(master(), ssrc_any_inbound), sender(master(), ssrc_any_outbound);
  for (std::uint32_t i = 65'530; i < 65'530 + 2 * 65'536; i += i < 65'550 ? 1 : 500) {
    const Bytes plain = rtp_packet(static_cast<std::uint16_t>(i));
    ASSERT_EQ(receiver.opened(lab.sealed(to, plain), PacketKind::rtp), plain) << i;
    Bytes packet = sender.sealed(plain, PacketKind::rtp);
    ASSERT_EQ(lab.open(from, packet), SrtpVerdict::ok) << i;
    ASSERT_EQ(packet, plain);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Suites, Libsrtp,
    testing::Combine(testing::Values(Suite::aead_aes_256_gcm, Suite::aead_aes_128_gcm,
                                     Suite::aes_256_cm_hmac_sha1_80, Suite::aes_256_cm_hmac_sha1_32,
                                     Suite::aes_cm_128_hmac_sha1_80,
                                     Suite::aes_cm_128_hmac_sha1_32),
                     testing::Values(std::size_t{0}, std::size_t{4})),
    [](const auto& param) {
      return std::string(info_of(std::get<0>(param.param)).name) +
             (std::get<1>(param.param) == 0 ? "" : "_mki");
    });

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
// Rules of contexts: MKI, key change, limits, bounds, two workers.

#include "dataplane/srtp/context.h"

#include <map>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "tests/dataplane/srtp/srtp_lab.h"

namespace millrace {
namespace {

constexpr Suite kCm = Suite::aes_cm_128_hmac_sha1_80;
constexpr Suite kGcm = Suite::aead_aes_128_gcm;

class Contexts : public testing::TestWithParam<Suite> {
 protected:
  [[nodiscard]] static MasterKey key(unsigned seed = 1) { return key_of(GetParam(), seed); }
  [[nodiscard]] static MasterKey key_with_mki(unsigned seed, const Bytes& mki) {
    MasterKey master = key(seed);
    master.mki = Mki::of(mki).value();
    return master;
  }

  SrtpLab lab;
};

// ---- MKI ------------------------------------------------------------------------------------

TEST_P(Contexts, MkiIsWrittenAndRequired) {
  for (const std::size_t size : {1U, 4U, 128U}) {
    const MasterKey master = key_with_mki(1, Bytes(size, std::byte{0xa7}));
    SealingContext& to = lab.sealing(master);
    OpeningContext& from = lab.opening(master);
    OpeningContext& other = lab.opening(key_with_mki(1, Bytes(size, std::byte{0xa8})));
    for (const PacketKind kind : {PacketKind::rtp, PacketKind::rtcp}) {
      const Bytes plain = packet_of(kind);
      Bytes packet = lab.sealed(to, plain, kind);
      const SuiteInfo& info = info_of(GetParam());
      const std::size_t tail = kind == PacketKind::rtp ? info.rtp_tag : info.rtcp_tag + 4U;
      EXPECT_EQ(packet.size(), plain.size() + tail + size);
      // RFC 3711: before the tag. RFC 7714: at the end.
      const std::size_t behind = info.mode == CipherMode::aes_cm ? std::size_t{10} : 0;
      EXPECT_TRUE(std::ranges::equal(std::span(packet).last(behind + size).first(size),
                                     master.mki.bytes()));
      EXPECT_EQ(lab.try_open(other, packet, kind), SrtpVerdict::no_key);
      ASSERT_EQ(lab.open(from, packet, kind), SrtpVerdict::ok);
      EXPECT_EQ(packet, plain);
    }
    lab.contexts.release(&to);
    lab.contexts.release(&from);
    lab.contexts.release(&other);
  }
}

TEST_P(Contexts, MkiChoosesTheKey) {
  const Bytes one(2, std::byte{1}), two(2, std::byte{2});
  OpeningContext& before = lab.opening(key_with_mki(1, one));
  OpeningContext& from = lab.opening(key_with_mki(2, two));
  from.set_predecessor(&before, Tsc{2000});
  SealingContext& first = lab.sealing(key_with_mki(1, one));
  SealingContext& second = lab.sealing(key_with_mki(2, two));
  EXPECT_EQ(lab.try_open(from, lab.sealed(first, rtp_packet(1))), SrtpVerdict::ok);
  EXPECT_EQ(lab.try_open(from, lab.sealed(second, rtp_packet(2))), SrtpVerdict::ok);
  lab.now = Tsc{2000};
  EXPECT_EQ(lab.try_open(from, lab.sealed(first, rtp_packet(3))), SrtpVerdict::no_key);
}

// ---- Key change -----------------------------------------------------------------------------

TEST_P(Contexts, ThePreviousKeyOpensUntilItsTime) {
  OpeningContext& before = lab.opening(key(1));
  SealingContext& first = lab.sealing(key(1));
  SealingContext& second = lab.sealing(key(2));
  EXPECT_EQ(lab.try_open(before, lab.sealed(first, rtp_packet(100))), SrtpVerdict::ok);

  OpeningContext& from = lab.opening(key(2));
  from.set_predecessor(&before, Tsc{2000});
  const Bytes late = lab.sealed(first, rtp_packet(101));
  const Bytes too_late = lab.sealed(first, rtp_packet(102));
  EXPECT_EQ(lab.try_open(from, lab.sealed(second, rtp_packet(103))), SrtpVerdict::ok);
  EXPECT_EQ(lab.try_open(from, late), SrtpVerdict::ok);
  EXPECT_EQ(lab.try_open(from, late), SrtpVerdict::auth);  // not of the new key either
  for (const PacketKind kind : {PacketKind::rtp, PacketKind::rtcp}) {
    Bytes packet = lab.sealed(first, packet_of(kind, 110), kind);
    EXPECT_EQ(lab.open(from, packet, kind), SrtpVerdict::ok);
    EXPECT_EQ(packet, packet_of(kind, 110));
  }
  lab.now = Tsc{2000};
  EXPECT_EQ(lab.try_open(from, too_late), SrtpVerdict::auth);
  EXPECT_EQ(lab.try_open(from, lab.sealed(second, rtp_packet(104))), SrtpVerdict::ok);
  from.set_predecessor(nullptr, Tsc{});
  EXPECT_EQ(from.predecessor(PacketKind::rtp, Tsc{}), nullptr);
}

// RFC 4568 begins at ROC 0 with a new key, RFC 3711 section 3.3.1 keeps the ROC. Both are heard.
TEST_P(Contexts, ANewKeyMayKeepTheRoc) {
  OpeningContext& before = lab.opening(key(1));
  SealingContext& first = lab.sealing(key(1));
  for (std::uint32_t i = 65'000; i < 66'000; ++i) {
    const auto sequence = static_cast<std::uint16_t>(i);
    ASSERT_EQ(lab.try_open(before, lab.sealed(first, rtp_packet(sequence))), SrtpVerdict::ok);
  }
  for (const std::uint32_t roc : {0U, 1U, 7U}) {
    before.half(PacketKind::rtp).lists.find(kSsrc)->use({7, 40'000});
    OpeningContext& from = lab.opening(key(2));
    SealingContext& second = lab.sealing(key(2));
    from.set_predecessor(&before, Tsc{2000});
    second.continue_after(kSsrc, {roc, roc == 1 ? std::uint16_t{464} : std::uint16_t{40'463}},
                          lab.now);
    Bytes packet = lab.sealed(second, rtp_packet(roc == 1 ? 465 : 40'464));
    EXPECT_EQ(lab.open(from, packet), SrtpVerdict::ok) << roc;
    EXPECT_EQ(from.half(PacketKind::rtp).lists.find(kSsrc)->highest().roc(), roc);
    before.half(PacketKind::rtp).lists = {};
    before.continue_after(PacketKind::rtp, kSsrc, {7, 39'999}, lab.now);
    lab.contexts.release(&from);
    lab.contexts.release(&second);
  }
}

TEST_P(Contexts, KnowTheirKey) {
  const OpeningContext& from = lab.opening(key(1));
  const SealingContext& to = lab.sealing(key(1));
  const Engine& engine = lab.contexts.engine();
  EXPECT_TRUE(from.is_of(key(1), engine));
  EXPECT_TRUE(to.is_of(key(1), engine));
  EXPECT_FALSE(from.is_of(key(2), engine));
  EXPECT_FALSE(to.is_of(key(2), engine));
  EXPECT_FALSE(from.is_of(key_with_mki(1, Bytes(1)), engine));
  EXPECT_FALSE(from.is_of(key_of(Suite::aes_256_cm_hmac_sha1_80), engine));
  const bool cm = GetParam() == kCm;
  const MasterKey shorter = key_of(cm ? Suite::aes_cm_128_hmac_sha1_32 : Suite::aead_aes_256_gcm);
  EXPECT_FALSE(from.is_of(shorter, engine));
}

// ---- Limits of a key ------------------------------------------------------------------------

TEST_P(Contexts, SealNoMoreThanTheLifetime) {
  MasterKey master = key();
  master.lifetime = 3;
  SealingContext& to = lab.sealing(master);
  for (const PacketKind kind : {PacketKind::rtp, PacketKind::rtcp}) {
    for (std::uint16_t i = 0; i < 6; ++i) {
      Bytes packet = packet_of(kind, i);
      const Bytes plain = packet;
      ASSERT_EQ(lab.seal(to, packet, kind), i < 3 ? SrtpVerdict::ok : SrtpVerdict::limit);
      ASSERT_EQ(packet == plain, i >= 3);
    }
  }
  EXPECT_EQ(lab.sealing(key()).rtp().left, std::uint64_t{1} << 48);
  EXPECT_EQ(lab.sealing(key()).rtcp().left, std::uint64_t{1} << 31);
}

TEST_P(Contexts, EndAtTheLastIndex) {
  SealingContext& to = lab.sealing(key());
  OpeningContext& from = lab.opening(key());
  to.continue_after(kSsrc, {0xffff'ffff, 0xfffd}, lab.now);
  from.continue_after(PacketKind::rtp, kSsrc, {0xffff'ffff, 0xfffd}, lab.now);
  for (const std::uint16_t sequence : {std::uint16_t{0xfffe}, std::uint16_t{0xffff}}) {
    EXPECT_EQ(lab.try_open(from, lab.sealed(to, rtp_packet(sequence))), SrtpVerdict::ok);
  }
  Bytes packet = rtp_packet(0);
  EXPECT_EQ(lab.seal(to, packet), SrtpVerdict::limit);
  packet.resize(60);
  EXPECT_EQ(lab.try_open(from, packet), SrtpVerdict::limit);

  to.continue_rtcp_at(kMaxRtcpIndex - 1);
  for (int i = 0; i < 2; ++i) {
    const Bytes sealed = lab.sealed(to, rtcp_packet(), PacketKind::rtcp);
    EXPECT_EQ(lab.try_open(from, sealed, PacketKind::rtcp), SrtpVerdict::ok);
  }
  EXPECT_EQ(from.half(PacketKind::rtcp).lists.find(kSsrc)->highest().value(), kMaxRtcpIndex);
  packet = rtcp_packet();
  EXPECT_EQ(lab.seal(to, packet, PacketKind::rtcp), SrtpVerdict::limit);
}

TEST_P(Contexts, RtcpHasOneIndexForAllSsrcs) {
  SealingContext& to = lab.sealing(key());
  std::set<std::uint32_t> words;
  for (std::uint32_t i = 0; i < 300; ++i) {
    const Bytes sealed = lab.sealed(to, rtcp_packet(6, i % 100), PacketKind::rtcp);
    const std::size_t from_end = GetParam() == kCm ? 14 : 4;
    words.insert(load_be32(sealed.data() + sealed.size() - from_end));
  }
  EXPECT_EQ(words.size(), 300U);
  EXPECT_EQ(*words.begin(), 0x8000'0000U);
  EXPECT_EQ(*words.rbegin(), 0x8000'0000U + 299);
}

// ---- Bounds ---------------------------------------------------------------------------------

TEST_P(Contexts, OpenKeepsTheSixteenLatestSsrcs) {
  OpeningContext& from = lab.opening(key());
  SealingContext& to = lab.sealing(key());
  std::vector<Bytes> sealed;
  for (std::uint32_t ssrc = 0; ssrc < 17; ++ssrc) {
    lab.now = Tsc{(1000 + ssrc) << 24};
    sealed.push_back(lab.sealed(to, rtp_packet(1, 20, ssrc)));
    ASSERT_EQ(lab.try_open(from, sealed.back()), SrtpVerdict::ok);
  }
  auto& lists = from.half(PacketKind::rtp).lists;
  EXPECT_EQ(lists.size(), kMaxOpenedSsrcs);
  EXPECT_EQ(lists.find(0), nullptr);
  EXPECT_EQ(lab.try_open(from, sealed[1]), SrtpVerdict::replay);
  // No stranger's SSRC takes a place.
  for (std::uint32_t ssrc = 100; ssrc < 200; ++ssrc) {
    Bytes forged = sealed[3];
    store(forged.data() + 8, Be32(ssrc));
    ASSERT_EQ(lab.try_open(from, forged), SrtpVerdict::auth);
  }
  EXPECT_EQ(lab.try_open(from, sealed[2]), SrtpVerdict::replay);
}

// A forgotten SSRC would begin again at ROC 0: the same key stream twice.
TEST_P(Contexts, SealForgetsNoSsrc) {
  SealingContext& to = lab.sealing(key());
  for (std::uint32_t ssrc = 0; ssrc < 200; ++ssrc) {
    Bytes packet = rtp_packet(1, 20, ssrc);
    ASSERT_EQ(lab.seal(to, packet), ssrc < kMaxSealedSsrcs ? SrtpVerdict::ok : SrtpVerdict::limit);
  }
  for (std::uint32_t ssrc = 0; ssrc < kMaxSealedSsrcs; ++ssrc) {
    Bytes packet = rtp_packet(1, 20, ssrc);
    ASSERT_EQ(lab.seal(to, packet), SrtpVerdict::replay);
  }
}

TEST(ContextTable, IsFullAtItsSize) {
  SrtpLab lab(Engine::best(), 3);
  std::vector<OpeningContext*> all;
  for (int i = 0; i < 3; ++i) all.push_back(lab.contexts.make_opening(key_of(kCm)));
  EXPECT_NE(all.back(), nullptr);
  EXPECT_EQ(lab.contexts.make_opening(key_of(kCm)), nullptr);
  EXPECT_EQ(lab.contexts.free_opening(), 0U);
  EXPECT_EQ(lab.contexts.free_sealing(), 3U);
  lab.contexts.release(all[1]);
  EXPECT_EQ(lab.contexts.make_opening(key_of(kGcm)), all[1]);
}

// ---- Packets that are not SRTP --------------------------------------------------------------

TEST_P(Contexts, NamePlainAndMalformedPackets) {
  OpeningContext& from = lab.opening(key());
  EXPECT_EQ(lab.try_open(from, rtp_packet(1, 3)), SrtpVerdict::plain);
  EXPECT_EQ(lab.try_open(from, rtp_packet(1, 160)), SrtpVerdict::auth);
  EXPECT_EQ(lab.try_open(from, rtcp_packet(12), PacketKind::rtcp), SrtpVerdict::plain);
  EXPECT_EQ(lab.try_open(from, rtcp_packet(0), PacketKind::rtcp), SrtpVerdict::plain);
  EXPECT_EQ(lab.try_open(from, Bytes(11)), SrtpVerdict::malformed);
  EXPECT_EQ(lab.try_open(from, Bytes(100)), SrtpVerdict::malformed);  // version 0
  EXPECT_EQ(lab.try_open(from, Bytes(100), PacketKind::rtcp), SrtpVerdict::malformed);
  Bytes csrcs = rtp_packet(1, 20);
  csrcs[0] = std::byte{0x8f};
  EXPECT_EQ(lab.try_open(from, csrcs), SrtpVerdict::malformed);
  SealingContext& to = lab.sealing(key());
  EXPECT_EQ(lab.seal(to, csrcs), SrtpVerdict::malformed);
}

// ---- Key streams ----------------------------------------------------------------------------

// Two senders with one SSRC under one sealing key: no index is used twice, whatever they send.
TEST_P(Contexts, NoKeyStreamIsUsedTwice) {
  SealingContext& to = lab.sealing(key());
  std::minstd_rand random(3);
  std::set<Bytes> key_streams;
  std::array<std::uint32_t, 2> next = {0, 40'000};
  std::size_t sealed = 0;
  for (int i = 0; i < 60'000; ++i) {
    auto& sequence = next[random() % 2];
    if (random() % 500 == 0) sequence += 20'000;
    if (random() % 50 != 0) ++sequence;
    Bytes packet = rtp_packet(static_cast<std::uint16_t>(sequence));
    const Bytes plain = packet;
    if (lab.seal(to, packet) != SrtpVerdict::ok) continue;
    Bytes key_stream(20);
    for (std::size_t at = 0; at < 20; ++at) key_stream[at] = packet[12 + at] ^ plain[12 + at];
    ++sealed;
    key_streams.insert(key_stream);
  }
  EXPECT_GT(sealed, 1000U);
  EXPECT_EQ(key_streams.size(), sealed);
}

// ---- Two workers ----------------------------------------------------------------------------

TEST_P(Contexts, AreHeldByOneWorker) {
  OpeningContext& from = lab.opening(key());
  SealingContext& to = lab.sealing(key());
  const Bytes sealed = lab.sealed(to, rtp_packet(1));
  const int other_worker = 0;
  ASSERT_TRUE(to.holder(PacketKind::rtp).take(&other_worker));
  ASSERT_TRUE(from.half(PacketKind::rtp).holder.take(&other_worker));
  Bytes packet = rtp_packet(2);
  EXPECT_EQ(lab.seal(to, packet), SrtpVerdict::contended);
  EXPECT_EQ(lab.try_open(from, sealed), SrtpVerdict::contended);
  // RTCP is another worker's.
  EXPECT_EQ(lab.try_open(from, lab.sealed(to, rtcp_packet(), PacketKind::rtcp), PacketKind::rtcp),
            SrtpVerdict::ok);
  to.holder(PacketKind::rtp).release();
  from.half(PacketKind::rtp).holder.release();
  EXPECT_EQ(lab.try_open(from, sealed), SrtpVerdict::ok);
  EXPECT_EQ(lab.seal(to, packet), SrtpVerdict::ok);
}

TEST_P(Contexts, TwoWorkersSealNoIndexTwice) {
  SealingContext& to = lab.sealing(key());
  constexpr std::uint16_t kPackets = 20'000;
  std::array<std::map<std::uint16_t, Bytes>, 2> sealed;
  std::array<std::thread, 2> workers;
  for (std::size_t w = 0; w < 2; ++w) {
    workers[w] = std::thread([&, w] {
      Srtp srtp(lab.contexts.engine().kind());
      for (std::uint16_t i = 0; i < kPackets; ++i) {
        Bytes packet = rtp_packet(i);
        packet.resize(packet.size() + Srtp::kMaxGrowth);
        SrtpPacket one{.to = &to, .data = packet.data(), .size = 32, .room = 100};
        srtp.seal({&one, 1}, Tsc{1});
        ASSERT_TRUE(one.verdict == SrtpVerdict::ok || one.verdict == SrtpVerdict::replay ||
                    one.verdict == SrtpVerdict::contended);
        if (one.verdict == SrtpVerdict::ok) sealed[w][i] = packet;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (const auto& [sequence, packet] : sealed[0]) ASSERT_FALSE(sealed[1].contains(sequence));
  EXPECT_GT(sealed[0].size() + sealed[1].size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Suites, Contexts, testing::Values(kCm, kGcm),
                         [](const auto& param) { return std::string(info_of(param.param).name); });

}  // namespace
}  // namespace millrace

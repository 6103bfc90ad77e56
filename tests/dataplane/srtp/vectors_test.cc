// SPDX-License-Identifier: BSD-3-Clause
// Published vectors (tests/data/srtp/vectors.txt) by every engine.

#include <map>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/data.h"
#include "tests/dataplane/srtp/srtp_lab.h"

namespace millrace {
namespace {

class Vectors : public testing::TestWithParam<Engine::Kind> {
 protected:
  struct Vector {
    std::string kind;
    Suite suite{};
    std::vector<std::string> fields;

    [[nodiscard]] Bytes bytes(std::size_t i) const { return bytes_of_hex(fields.at(i)); }
    [[nodiscard]] std::uint32_t number(std::size_t i) const {
      return static_cast<std::uint32_t>(std::stoul(fields.at(i), nullptr, 16));
    }
  };

  [[nodiscard]] static std::vector<Vector> all() {
    std::vector<Vector> vectors;
    std::istringstream lines(read_data("srtp/vectors.txt"));
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line.starts_with('#')) continue;
      std::istringstream words(line);
      Vector vector;
      std::string suite;
      words >> vector.kind >> suite;
      vector.suite = suite_of(suite).value();
      for (std::string word; words >> word;) vector.fields.push_back(word);
      vectors.push_back(vector);
    }
    return vectors;
  }

  // Session keys in place of derived ones.
  void set_keys(const Vector& vector, SessionKeys& keys) {
    const Bytes key = vector.bytes(0), salt = vector.bytes(1);
    std::ranges::fill(keys.salt, std::byte{0});
    std::ranges::copy(salt, keys.salt.begin() + static_cast<std::ptrdiff_t>(14 - salt.size()));
    lab.contexts.engine().expand(key, keys);
  }
  // Text is its own plain text only without encryption.
  void check_open(const Vector& vector, PacketKind kind, const Bytes& plain, Bytes sealed) {
    OpeningContext& from = lab.opening(key_of(vector.suite));
    set_keys(vector, from.half(kind).keys);
    EXPECT_EQ(lab.open(from, sealed, kind), SrtpVerdict::ok);
    EXPECT_EQ(sealed, plain);
    lab.contexts.release(&from);
  }

  SrtpLab lab{GetParam()};
};

TEST_P(Vectors, AreAllThere) {
  std::map<std::string, int> count;
  for (const Vector& vector : all()) ++count[vector.kind];
  const std::map<std::string, int> expected = {
      {"keystream", 6}, {"derive", 3}, {"rtp", 2}, {"rtcp", 2}, {"clear", 2}};
  EXPECT_EQ(count, expected);
}

TEST_P(Vectors, Keystream) {
  Engine engine(GetParam());
  for (const Vector& vector : all()) {
    if (vector.kind != "keystream") continue;
    SessionKeys keys;
    keys.mode = CipherMode::aes_cm;
    keys.key_size = info_of(vector.suite).key;
    set_keys(vector, keys);
    const Bytes expected = vector.bytes(3);
    Bytes text(16 * std::size_t{vector.number(2)} + expected.size());
    CipherJob job{.keys = &keys, .text = text.data(), .text_size = text.size(), .iv = keys.salt};
    CipherJob* const one = &job;
    engine.crypt({&one, 1});
    EXPECT_TRUE(std::ranges::equal(std::span(text).last(expected.size()), expected))
        << vector.fields[2];
  }
}

TEST_P(Vectors, KeyDerivation) {
  for (const Vector& vector : all()) {
    if (vector.kind != "derive") continue;
    const auto master = MasterKey::of(vector.suite, vector.bytes(0), vector.bytes(1));
    ASSERT_TRUE(master);
    RawSessionKeys raw;
    derive(*master, PacketKind::rtp, raw);
    const SuiteInfo& info = info_of(vector.suite);
    EXPECT_TRUE(std::ranges::equal(std::span(raw.cipher).first(info.key), vector.bytes(2)));
    EXPECT_TRUE(std::ranges::equal(std::span(raw.salt).first(info.salt), vector.bytes(3)));
    EXPECT_TRUE(std::ranges::equal(raw.authentication, vector.bytes(4)));
  }
}

TEST_P(Vectors, Rtp) {
  for (const Vector& vector : all()) {
    if (vector.kind != "rtp") continue;
    const Bytes plain = vector.bytes(2), sealed = vector.bytes(3);
    SealingContext& to = lab.sealing(key_of(vector.suite));
    set_keys(vector, to.rtp().keys);
    EXPECT_EQ(lab.sealed(to, plain), sealed);
    lab.contexts.release(&to);
    check_open(vector, PacketKind::rtp, plain, sealed);
  }
}

TEST_P(Vectors, Rtcp) {
  for (const Vector& vector : all()) {
    if (vector.kind != "rtcp") continue;
    const Bytes plain = vector.bytes(3), sealed = vector.bytes(4);
    SealingContext& to = lab.sealing(key_of(vector.suite));
    set_keys(vector, to.rtcp().keys);
    to.continue_rtcp_at(vector.number(2));
    EXPECT_EQ(lab.sealed(to, plain, PacketKind::rtcp), sealed);
    lab.contexts.release(&to);
    check_open(vector, PacketKind::rtcp, plain, sealed);
  }
}

TEST_P(Vectors, RtcpInClear) {
  for (const Vector& vector : all()) {
    if (vector.kind != "clear") continue;
    check_open(vector, PacketKind::rtcp, vector.bytes(3), vector.bytes(4));
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, Vectors,
                         testing::Values(Engine::Kind::ipsec_mb, Engine::Kind::openssl),
                         [](const auto& param) {
                           return param.param == Engine::Kind::ipsec_mb ? "ipsec_mb" : "openssl";
                         });

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/srtp/locked_table.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "dataplane/base/file_descriptor.h"
#include "tests/dataplane/srtp/srtp_lab.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER
#endif
#endif

namespace millrace {
namespace {

TEST(LockedTable, GivesBlocksOfZeros) {
  auto table = LockedTable::make(3, 128);
  ASSERT_TRUE(table);
  std::array<void*, 3> blocks{};
  for (void*& block : blocks) {
    block = table->take();
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 64, 0U);
    std::memset(block, 0xa5, 128);
  }
  EXPECT_EQ(table->take(), nullptr);
  EXPECT_EQ(table->free_blocks(), 0U);
  table->give_back(blocks[1]);
  const auto* const again = static_cast<const std::byte*>(table->take());
  ASSERT_EQ(again, blocks[1]);
  EXPECT_EQ(std::ranges::count(std::span(again, 128), std::byte{0}), 128);
}

TEST(LockedTable, MayBeEmpty) {
  auto table = LockedTable::make(0, 64);
  ASSERT_TRUE(table);
  EXPECT_EQ(table->take(), nullptr);
}

TEST(LockedTable, NamesWhatItCannotAllocate) {
  const auto table = LockedTable::make(std::size_t{1} << 40, 4096);
  ASSERT_FALSE(table);
  EXPECT_NE(table.error().message.find("srtp_flows"), std::string::npos);
}

// Sanitizers make mlock() do nothing, and map terabytes.
#ifndef UNDER_SANITIZER

// The flags of the mapping that holds this address (proc_pid_smaps(5)).
[[nodiscard]] std::string flags_of_mapping(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    // NOLINTNEXTLINE(cert-err34-c): the kernel's format
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      found = begin <= wanted && wanted < end;
    }
    if (found && line.starts_with("VmFlags:")) return line;
  }
  return {};
}

TEST(LockedTable, IsLockedAndNotDumped) {
  auto table = LockedTable::make(2, 4096);
  ASSERT_TRUE(table);
  const std::string flags = flags_of_mapping(table->memory().data());
  for (const char* const flag : {" lo", " dd", " dc"}) {
    EXPECT_NE(flags.find(flag), std::string::npos) << flag << " in " << flags;
  }
}

// ---- No key is left in memory after release -------------------------------------------------

// How often these bytes are in writable memory of this process, apart from the search itself. They
// are kept inverted, or each search would find the others' bytes.
class Needle {
 public:
  explicit Needle(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) inverted_.push_back(~byte);
  }
  [[nodiscard]] std::size_t count() const {
    Bytes bytes, piece(kPiece);
    for (const std::byte byte : inverted_) bytes.push_back(~byte);
    const FileDescriptor memory(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
    std::ifstream maps("/proc/self/maps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) {
      std::uintptr_t begin = 0, end = 0;
      char writable = 0;
      // NOLINTNEXTLINE(cert-err34-c): the kernel's format
      if (std::sscanf(line.c_str(), "%lx-%lx r%c", &begin, &end, &writable) != 3) continue;
      if (writable != 'w') continue;
      while (begin + bytes.size() <= end) {
        const std::size_t size = std::min(piece.size(), end - begin);
        const auto offset = static_cast<off_t>(begin);
        if (::pread(memory.get(), piece.data(), size, offset) != static_cast<ssize_t>(size)) break;
        count += count_in(std::span(piece).first(size), begin, bytes, piece);
        begin += size == end - begin ? size : size - bytes.size() + 1;
      }
    }
    ::explicit_bzero(piece.data(), piece.size());
    ::explicit_bzero(bytes.data(), bytes.size());
    return count;
  }

 private:
  // `piece` is a copy of the memory at `address`.
  [[nodiscard]] static std::size_t count_in(std::span<const std::byte> piece,
                                            std::uintptr_t address, const Bytes& bytes,
                                            const Bytes& copy) {
    const auto is_in = [](std::uintptr_t at, const Bytes& block) {
      const auto begin = reinterpret_cast<std::uintptr_t>(block.data());
      return begin <= at && at < begin + block.size();
    };
    std::size_t count = 0;
    for (const std::byte* at = piece.data();; ++at) {
      const auto left = static_cast<std::size_t>(piece.data() + piece.size() - at);
      at = static_cast<const std::byte*>(::memmem(at, left, bytes.data(), bytes.size()));
      if (at == nullptr) return count;
      const std::uintptr_t found = address + static_cast<std::uintptr_t>(at - piece.data());
      if (!is_in(found, bytes) && !is_in(found, copy)) ++count;
    }
  }

  static constexpr std::size_t kPiece = 1 << 16;
  Bytes inverted_;
};

// Master key and salt, session keys, authentication key, and the HMAC states made of it.
[[nodiscard]] std::vector<Needle> needles_of(Suite suite) {
  std::vector<Needle> needles;
  const MasterKey master = key_of(suite, 4711);
  needles.emplace_back(master.key());
  needles.emplace_back(master.salt());
  for (const PacketKind kind : {PacketKind::rtp, PacketKind::rtcp}) {
    RawSessionKeys raw;
    derive(master, kind, raw);
    needles.emplace_back(std::span(raw.cipher).first(info_of(suite).key));
    if (info_of(suite).mode != CipherMode::aes_cm) continue;
    needles.emplace_back(raw.authentication);
    SessionKeys keys;
    derive(master, kind, Engine(Engine::best()), keys);
    needles.emplace_back(std::as_bytes(std::span(keys.inner)));
    needles.emplace_back(std::as_bytes(std::span(keys.outer)));
    ::explicit_bzero(&keys, sizeof keys);
  }
  return needles;
}

TEST(Contexts, LeaveNoKeyInMemory) {
  for (const Engine::Kind kind : {Engine::Kind::ipsec_mb, Engine::Kind::openssl}) {
    SrtpLab lab(kind);
    for (const Suite suite : {Suite::aes_cm_128_hmac_sha1_80, Suite::aes_256_cm_hmac_sha1_32,
                              Suite::aead_aes_128_gcm, Suite::aead_aes_256_gcm}) {
      const std::vector<Needle> needles = needles_of(suite);
      const std::string name(info_of(suite).name);
      OpeningContext& from = lab.opening(key_of(suite, 4711));
      SealingContext& to = lab.sealing(key_of(suite, 4711));
      for (std::uint16_t i = 0; i < 40; ++i) {
        for (const PacketKind packet : {PacketKind::rtp, PacketKind::rtcp}) {
          ASSERT_EQ(lab.try_open(from, lab.sealed(to, packet_of(packet, i), packet), packet),
                    SrtpVerdict::ok);
        }
      }
      // The search finds what is there: the session key of RTP, once in each context.
      EXPECT_EQ(needles[2].count(), 2U) << name;
      EXPECT_EQ(needles[0].count(), 0U) << name;  // the master key is not kept
      lab.contexts.release(&from);
      lab.contexts.release(&to);
      for (std::size_t i = 0; i < needles.size(); ++i) {
        EXPECT_EQ(needles[i].count(), 0U) << name << ", key " << i;
      }
    }
  }
}

#endif

}  // namespace
}  // namespace millrace

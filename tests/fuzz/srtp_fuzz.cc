// SPDX-License-Identifier: BSD-3-Clause
// Any bytes as SRTP and SRTCP: nothing opens, nothing changes. As RTP and RTCP: what seals opens
// again.
//
// Byte 0: bits 0 to 2 the suite, bit 3 RTCP, bit 4 an MKI, bit 5 the packet was sealed with byte 1
// xored into one of its bytes, at byte 2. Then the packet.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/srtp/context.h"
#include "dataplane/srtp/srtp.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace;

constexpr std::size_t kHead = 3;

struct World {
  SrtpContexts contexts = *SrtpContexts::make(2, Engine::best());
  Srtp srtp{Engine::best()};
};

std::vector<std::byte> copy_of(std::span<const std::byte> bytes, std::size_t room) {
  std::vector<std::byte> copy(bytes.size() + room);
  std::ranges::copy(bytes, copy.begin());
  return copy;
}

std::vector<std::byte> image_of(const OpeningContext& context) {
  return copy_of(std::as_bytes(std::span(&context, 1)), 0);
}

// On a heap block of exactly the packet's size.
void open_strange(World& world, OpeningContext& from, std::span<const std::byte> bytes,
                  PacketKind kind) {
  auto packet = copy_of(bytes, 0);
  const auto before = image_of(from);
  const auto size = static_cast<std::uint32_t>(packet.size());
  SrtpPacket one{.from = &from, .data = packet.data(), .size = size, .room = size, .kind = kind};
  world.srtp.open({&one, 1}, Tsc{1});
  FUZZ_CHECK(one.verdict != SrtpVerdict::ok);
  FUZZ_CHECK(one.size == size && std::ranges::equal(packet, bytes));
  FUZZ_CHECK(image_of(from) == before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  if (size < kHead) return 0;
  const unsigned choice = data[0];
  const SuiteInfo& suite = kSuites[choice & 7];
  const PacketKind kind = (choice & 8) != 0 ? PacketKind::rtcp : PacketKind::rtp;
  const std::vector<std::byte> both(suite.key + suite.salt, std::byte{0x3c});
  MasterKey master = *MasterKey::of(suite.suite, both);
  if ((choice & 16) != 0) master.mki = *Mki::of(std::as_bytes(std::span(data, kHead)));
  OpeningContext& from = *world.contexts.make_opening(master);
  SealingContext& to = *world.contexts.make_sealing(master);

  const auto input = std::as_bytes(std::span(data, size)).subspan(kHead);
  open_strange(world, from, input, kind);

  // Room for exactly what sealing adds.
  const bool rtcp = kind == PacketKind::rtcp;
  const std::size_t tail =
      master.mki.size() + (rtcp ? suite.rtcp_tag + std::size_t{4} : suite.rtp_tag);
  auto packet = copy_of(input, tail);
  SrtpPacket one{.to = &to,
                 .data = packet.data(),
                 .size = static_cast<std::uint32_t>(input.size()),
                 .room = static_cast<std::uint32_t>(packet.size()),
                 .kind = kind};
  world.srtp.seal({&one, 1}, Tsc{1});
  if (one.verdict == SrtpVerdict::ok) {
    FUZZ_CHECK(one.size == packet.size());
    const auto flip = static_cast<std::byte>(data[1]);
    if ((choice & 32) != 0 && flip != std::byte{0}) {
      auto forged = packet;
      forged[data[2] % forged.size()] ^= flip;
      open_strange(world, from, forged, kind);
    }
    one.from = &from;
    world.srtp.open({&one, 1}, Tsc{1});
    FUZZ_CHECK(one.verdict == SrtpVerdict::ok);
    FUZZ_CHECK(std::ranges::equal(one.bytes(), input));
  } else {
    FUZZ_CHECK(one.verdict == SrtpVerdict::malformed);
  }
  world.contexts.release(&from);
  world.contexts.release(&to);
  return 0;
}

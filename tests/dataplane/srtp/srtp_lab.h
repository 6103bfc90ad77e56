// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Keys, packets and contexts for tests of SRTP.

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "dataplane/srtp/context.h"
#include "dataplane/srtp/srtp.h"
#include "dataplane/wire/bytes.h"

namespace millrace {

using Bytes = std::vector<std::byte>;

inline constexpr std::uint32_t kSsrc = 0x5501'a0b2;

[[nodiscard]] inline Bytes bytes_of_hex(std::string_view text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

// A key of its own for each seed.
[[nodiscard]] inline MasterKey key_of(Suite suite, unsigned seed = 1) {
  std::minstd_rand random(seed);
  Bytes both(info_of(suite).key + info_of(suite).salt);
  std::ranges::generate(both, [&] { return static_cast<std::byte>(random() >> 8); });
  MasterKey master = *MasterKey::of(suite, both);
  ::explicit_bzero(both.data(), both.size());
  return master;
}

[[nodiscard]] inline Bytes rtp_packet(std::uint16_t sequence, std::size_t payload = 20,
                                      std::uint32_t ssrc = kSsrc) {
  Bytes packet(12 + payload);
  store(packet.data(), Be32(0x8000'0000U | sequence));
  store(packet.data() + 4, Be32(sequence * 160U));
  store(packet.data() + 8, Be32(ssrc));
  for (std::size_t i = 12; i < packet.size(); ++i) {
    packet[i] = static_cast<std::byte>(sequence + 7 * i);
  }
  return packet;
}

// A receiver report with this many words of report blocks behind its header.
[[nodiscard]] inline Bytes rtcp_packet(std::uint16_t words = 6, std::uint32_t ssrc = kSsrc) {
  Bytes packet(8 + 4 * std::size_t{words}, std::byte{0x5a});
  store(packet.data(), Be32(0x80c9'0000U | (words + 1U)));
  store(packet.data() + 4, Be32(ssrc));
  return packet;
}

[[nodiscard]] inline Bytes packet_of(PacketKind kind, std::uint16_t sequence = 1) {
  return kind == PacketKind::rtp ? rtp_packet(sequence) : rtcp_packet();
}

class SrtpLab {
 public:
  explicit SrtpLab(Engine::Kind kind = Engine::best(), std::size_t flows = 4)
      : contexts(make(kind, flows)), srtp(kind) {}

  [[nodiscard]] OpeningContext& opening(const MasterKey& key) {
    return *contexts.make_opening(key);
  }
  [[nodiscard]] SealingContext& sealing(const MasterKey& key) {
    return *contexts.make_sealing(key);
  }

  // On success `packet` is the sealed one.
  [[nodiscard]] SrtpVerdict seal(SealingContext& to, Bytes& packet,
                                 PacketKind kind = PacketKind::rtp) {
    const std::size_t size = packet.size();
    packet.resize(size + Srtp::kMaxGrowth);
    SrtpPacket one{.to = &to,
                   .data = packet.data(),
                   .size = static_cast<std::uint32_t>(size),
                   .room = static_cast<std::uint32_t>(packet.size()),
                   .kind = kind};
    srtp.seal({&one, 1}, now);
    packet.resize(one.size);
    return one.verdict;
  }
  [[nodiscard]] Bytes sealed(SealingContext& to, Bytes packet, PacketKind kind = PacketKind::rtp) {
    if (seal(to, packet, kind) != SrtpVerdict::ok) throw std::logic_error("packet not sealed");
    return packet;
  }
  [[nodiscard]] SrtpVerdict open(OpeningContext& from, Bytes& packet,
                                 PacketKind kind = PacketKind::rtp) {
    SrtpPacket one = to_open(from, packet, kind);
    srtp.open({&one, 1}, now);
    packet.resize(one.size);
    return one.verdict;
  }
  [[nodiscard]] SrtpVerdict try_open(OpeningContext& from, Bytes packet,
                                     PacketKind kind = PacketKind::rtp) {
    return open(from, packet, kind);
  }
  [[nodiscard]] static SrtpPacket to_open(OpeningContext& from, Bytes& packet,
                                          PacketKind kind = PacketKind::rtp) {
    const auto size = static_cast<std::uint32_t>(packet.size());
    return {.from = &from, .data = packet.data(), .size = size, .room = size, .kind = kind};
  }

  SrtpContexts contexts;
  Srtp srtp;
  Tsc now{1000};

 private:
  static SrtpContexts make(Engine::Kind kind, std::size_t flows) {
    auto made = SrtpContexts::make(flows, kind);
    if (!made) throw std::runtime_error(made.error().message);
    return std::move(*made);
  }
};

// All bytes of a context, to see that nothing has changed.
template <typename Context>
[[nodiscard]] Bytes image_of(const Context& context) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(&context);
  return {bytes, bytes + sizeof context};
}

}  // namespace millrace

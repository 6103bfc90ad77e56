// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// RTP and RTCP header parsers (RFC 3550 sections 5.1 and 6), and the demultiplexing of protocols on
// a media port (RFC 7983).
//
// A parser checks the whole datagram once and returns values, not pointers. With SRTP (RFC 3711)
// the header and the length of its extension are in clear. Padding, and everything after the first
// eight bytes of a compound RTCP packet, is ciphertext and is not checked.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/base/net.h"
#include "dataplane/wire/bytes.h"

namespace millrace {

enum class Protocol : std::uint8_t { stun, zrtp, dtls, turn_channel, rtp, unknown };

// RFC 7983 section 7. Protocol::rtp means RTP or RTCP.
[[nodiscard]] constexpr Protocol protocol_of(std::byte first) {
  const auto b = std::to_integer<unsigned>(first);
  if (b >= 128 && b <= 191) return Protocol::rtp;
  if (b <= 3) return Protocol::stun;
  if (b >= 16 && b <= 19) return Protocol::zrtp;
  if (b >= 20 && b <= 63) return Protocol::dtls;
  if (b >= 64 && b <= 79) return Protocol::turn_channel;
  return Protocol::unknown;
}

// Whether the second byte of a packet on a shared port marks RTCP (RFC 5761 section 4).
[[nodiscard]] constexpr bool is_rtcp_type(std::byte second) {
  return static_cast<std::uint8_t>(std::to_integer<unsigned>(second) - 192) < 32;
}

struct RtpHeader {
  std::byte flags{};  // version (2), padding, extension, CSRC count (4)
  std::byte type{};   // marker, payload type (7)
  Be16 sequence;
  Be32 timestamp;
  Be32 ssrc;

  [[nodiscard]] unsigned version() const { return std::to_integer<unsigned>(flags) >> 6; }
  [[nodiscard]] bool padded() const { return (flags & std::byte{0x20}) != std::byte{0}; }
  [[nodiscard]] bool extended() const { return (flags & std::byte{0x10}) != std::byte{0}; }
  [[nodiscard]] unsigned csrcs() const { return std::to_integer<unsigned>(flags) & 0x0f; }
  [[nodiscard]] std::uint8_t payload_type() const {
    return std::to_integer<std::uint8_t>(type & std::byte{0x7f});
  }
};
static_assert(sizeof(RtpHeader) == 12);

// The RTP header fields that the relay uses, in host order.
struct RtpFields {
  std::uint8_t payload_type = 0;
  std::uint16_t sequence = 0;
  std::uint32_t timestamp = 0;
  std::uint32_t ssrc = 0;

  // Precondition: 12 bytes are readable.
  [[nodiscard]] static RtpFields read(const std::byte* header) {
    const auto raw = load<RtpHeader>(header);
    return {raw.payload_type(), raw.sequence.host(), raw.timestamp.host(), raw.ssrc.host()};
  }
};

// Length of an RTP header with its CSRC list and extension. None if it does not fit the datagram.
[[nodiscard]] inline std::optional<std::size_t> rtp_header_size(
    std::span<const std::byte> datagram) {
  if (datagram.size() < sizeof(RtpHeader)) return std::nullopt;
  const auto header = load<RtpHeader>(datagram.data());
  if (header.version() != 2) return std::nullopt;
  std::size_t size = sizeof header + std::size_t{4} * header.csrcs();
  if (header.extended()) {
    if (datagram.size() < size + 4) return std::nullopt;
    size += 4 + std::size_t{4} * load_be16(datagram.data() + size + 2);
  }
  if (datagram.size() < size) return std::nullopt;
  return size;
}

// The header of a well-formed RTP packet: its CSRC list, extension and padding fit the datagram.
[[nodiscard]] inline std::optional<RtpFields> parse_rtp(std::span<const std::byte> datagram,
                                                        bool encrypted) {
  const auto size = rtp_header_size(datagram);
  if (!size) return std::nullopt;
  if (load<RtpHeader>(datagram.data()).padded() && !encrypted) {
    const auto padding = std::to_integer<std::size_t>(datagram.back());
    if (padding == 0 || padding > datagram.size() - *size) return std::nullopt;
  }
  return RtpFields::read(datagram.data());
}

struct RtcpHeader {
  std::byte flags{};  // version (2), padding, count (5)
  std::uint8_t type = 0;
  Be16 length;  // in 32-bit words, minus one
  Be32 ssrc;    // of the sender

  [[nodiscard]] unsigned version() const { return std::to_integer<unsigned>(flags) >> 6; }
  [[nodiscard]] bool padded() const { return (flags & std::byte{0x20}) != std::byte{0}; }
  [[nodiscard]] std::size_t size() const { return std::size_t{4} * (length.host() + 1U); }
};
static_assert(sizeof(RtcpHeader) == 8);

// Packet types that IANA has assigned: 192 to 195 (historic), 200 (SR) to 213.
[[nodiscard]] constexpr bool is_known_rtcp(std::uint8_t type) {
  return (type >= 192 && type <= 195) || (type >= 200 && type <= 213);
}

// Whether the second byte is SR to XR (200 to 207), or RTP of a payload type from 72 to 79 with the
// marker. 72 to 76 are reserved for this reason (RFC 3551 section 6).
[[nodiscard]] constexpr bool may_be_report(std::byte second) {
  return (second & std::byte{0xf8}) == std::byte{200};
}
[[nodiscard]] constexpr bool is_surely_report(std::byte second) {
  return may_be_report(second) && second <= std::byte{204};
}

// The first header of a well-formed compound or reduced-size (RFC 5506) RTCP packet. The lengths of
// its packets must add up to the datagram, and only the last one may be padded (RFC 3550 A.2).
[[nodiscard]] inline std::optional<RtcpHeader> parse_rtcp(std::span<const std::byte> datagram,
                                                          bool encrypted) {
  if (datagram.size() < sizeof(RtcpHeader)) return std::nullopt;
  const auto first = load<RtcpHeader>(datagram.data());
  if (first.version() != 2 || !is_known_rtcp(first.type) || first.size() < sizeof first ||
      first.size() > datagram.size()) {
    return std::nullopt;
  }
  if (encrypted) return first;

  while (!datagram.empty()) {
    // The shortest packet of a compound has four bytes (BYE without sources).
    if (datagram.size() < sizeof(Be32)) return std::nullopt;
    const std::uint32_t head = load_be32(datagram.data());
    const std::size_t size = std::size_t{4} * ((head & 0xffff) + 1);
    const bool last = size == datagram.size();
    if (head >> 30 != 2 || size > datagram.size()) return std::nullopt;
    if ((head & 0x20000000) != 0) {
      const auto padding = std::to_integer<std::size_t>(datagram[size - 1]);
      if (!last || padding == 0 || padding % 4 != 0 || padding > size - 4) return std::nullopt;
    }
    datagram = datagram.subspan(size);
  }
  return first;
}

// Whether the first DTLS record (RFC 6347 section 4.1) fits the datagram. The unified header of
// DTLS 1.3 (RFC 9147 section 4), first bytes 32 to 63, cannot be checked. It never comes first.
[[nodiscard]] inline bool is_dtls(std::span<const std::byte> datagram) {
  constexpr std::size_t kHeader = 13;
  if (datagram.size() < kHeader || protocol_of(datagram[0]) != Protocol::dtls) return false;
  if (datagram[0] >= std::byte{32} || datagram[1] != std::byte{0xfe}) return false;
  return load_be16(datagram.data() + 11) <= datagram.size() - kHeader;
}

// Whether the datagram is a ZRTP packet (RFC 6189 section 5): the magic cookie, and a message whose
// length fits, with the CRC behind it.
[[nodiscard]] inline bool is_zrtp(std::span<const std::byte> datagram) {
  constexpr std::size_t kHeader = 12, kMessage = 12, kCrc = 4;
  if (datagram.size() < kHeader + kMessage + kCrc) return false;
  if (protocol_of(datagram[0]) != Protocol::zrtp) return false;
  const std::size_t length = std::size_t{4} * load_be16(datagram.data() + kHeader + 2);
  return load_be32(datagram.data() + 4) == 0x5a525450 &&
         load_be16(datagram.data() + kHeader) == 0x505a &&
         length == datagram.size() - kHeader - kCrc;
}

}  // namespace millrace

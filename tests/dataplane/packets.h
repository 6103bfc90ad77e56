// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Packets as bytes, for tests and fuzz targets: builds them with correct checksums, reads them.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "dataplane/base/net.h"
#include "dataplane/wire/checksum.h"

namespace millrace::test {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::initializer_list<int> values) {
  Bytes out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

inline void put16(Bytes& to, std::size_t at, std::size_t value) {
  to[at] = static_cast<std::byte>(value >> 8);
  to[at + 1] = static_cast<std::byte>(value);
}

inline void put32(Bytes& to, std::size_t at, std::uint32_t value) {
  put16(to, at, value >> 16);
  put16(to, at + 2, value & 0xffff);
}

inline std::uint16_t get16(const Bytes& from, std::size_t at) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(from[at]) << 8 |
                                    std::to_integer<unsigned>(from[at + 1]));
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Rtp {
  std::uint16_t sequence = 1;
  std::uint32_t timestamp = 160;
  std::uint32_t ssrc = 0x11223344;
  std::uint8_t payload_type = 0;
  std::size_t payload = 20;
};

inline Bytes rtp(const Rtp& packet) {
  Bytes out(12 + packet.payload, std::byte{0x5a});
  out[0] = std::byte{0x80};
  out[1] = std::byte{packet.payload_type};
  put16(out, 2, packet.sequence);
  put32(out, 4, packet.timestamp);
  put32(out, 8, packet.ssrc);
  return out;
}

// A sender report without blocks and a minimal source description.
inline Bytes rtcp(std::uint32_t ssrc) {
  Bytes out(28 + 12, std::byte{0});
  out[0] = std::byte{0x80};
  out[1] = std::byte{200};
  put16(out, 2, 6);
  put32(out, 4, ssrc);
  out[28] = std::byte{0x81};
  out[29] = std::byte{202};
  put16(out, 30, 2);
  put32(out, 32, ssrc);
  return out;
}

inline Bytes stun() {
  return bytes_of({0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
}

// A ZRTP packet with the shortest message; its CRC is not checked.
inline Bytes zrtp_hello() {
  return bytes_of({0x10, 0, 0, 1, 0x5a, 0x52, 0x54, 0x50, 1, 2, 3, 4, 0x50, 0x5a, 0, 3}) +
         bytes_of({'C', 'o', 'n', 'f', '2', 'A', 'C', 'K', 0, 0, 0, 0});
}

inline Bytes ipv4(const IpAddress& from, const IpAddress& to, std::uint8_t protocol,
                  const Bytes& payload) {
  Bytes out(20, std::byte{0});
  out[0] = std::byte{0x45};
  put16(out, 2, 20 + payload.size());
  put16(out, 4, 0x1234);
  put16(out, 6, 0x4000);
  out[8] = std::byte{64};
  out[9] = std::byte{protocol};
  put32(out, 12, from.as_v4().host());
  put32(out, 16, to.as_v4().host());
  const std::uint16_t sum = checksum(out);
  std::memcpy(out.data() + 10, &sum, 2);
  return out + payload;
}

inline Bytes ipv6(const IpAddress& from, const IpAddress& to, std::uint8_t next,
                  const Bytes& payload, std::uint8_t hop_limit = 64) {
  Bytes out(8, std::byte{0});
  out[0] = std::byte{0x60};
  put16(out, 4, payload.size());
  out[6] = std::byte{next};
  out[7] = std::byte{hop_limit};
  for (const IpAddress& address : {from, to}) {
    for (const std::uint8_t b : address.bytes()) out.push_back(std::byte{b});
  }
  return out + payload;
}

inline std::uint16_t udp_checksum(const Bytes& packet);  // of an IP packet, field as it is

// By the family of its endpoints.
inline Bytes udp(const Endpoint& from, const Endpoint& to, const Bytes& payload) {
  Bytes header(8, std::byte{0});
  put16(header, 0, from.port.number());
  put16(header, 2, to.port.number());
  put16(header, 4, 8 + payload.size());
  const bool v4 = from.address.is_v4();
  Bytes packet = v4 ? ipv4(from.address, to.address, 17, header + payload)
                    : ipv6(from.address, to.address, 17, header + payload);
  const std::uint16_t sum = udp_checksum(packet);
  const std::uint16_t sent = sum == 0 ? std::uint16_t{0xffff} : sum;
  std::memcpy(packet.data() + (v4 ? 26 : 46), &sent, 2);
  return packet;
}

// The ones' complement of the sum over pseudo-header, header and payload: 0 or what to write.
inline std::uint16_t udp_checksum(const Bytes& packet) {
  const bool v4 = (packet[0] >> 4) == std::byte{4};
  Bytes pseudo(packet.begin() + (v4 ? 12 : 8), packet.begin() + (v4 ? 20 : 40));
  pseudo.push_back(std::byte{0});
  pseudo.push_back(packet[v4 ? 9 : 6]);
  pseudo.push_back(packet[v4 ? 24 : 44]);
  pseudo.push_back(packet[v4 ? 25 : 45]);
  pseudo.insert(pseudo.end(), packet.begin() + (v4 ? 20 : 40), packet.end());
  return checksum(pseudo);
}

inline Bytes ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type,
                      const Bytes& payload) {
  Bytes out(14);
  for (std::size_t i = 0; i < 6; ++i) {
    out[i] = std::byte{to.bytes[i]};
    out[6 + i] = std::byte{from.bytes[i]};
  }
  put16(out, 12, type);
  return out + payload;
}

inline Bytes arp(std::uint16_t operation, const MacAddress& sender_mac, const IpAddress& sender,
                 const MacAddress& target_mac, const IpAddress& target) {
  Bytes out = bytes_of({0, 1, 8, 0, 6, 4, 0, operation});
  const auto mac = [&](const MacAddress& m) {
    for (const std::uint8_t b : m.bytes) out.push_back(std::byte{b});
  };
  const auto ip = [&](const IpAddress& a) {
    for (std::size_t i = 12; i < 16; ++i) out.push_back(std::byte{a.bytes()[i]});
  };
  mac(sender_mac);
  ip(sender);
  mac(target_mac);
  ip(target);
  return out;
}

inline Bytes bytes_of(const IpAddress& address) {
  Bytes out;
  for (const std::uint8_t b : address.bytes()) out.push_back(std::byte{b});
  return out;
}

// A link-layer address option (RFC 4861 section 4.6.1).
inline Bytes option(int type, const MacAddress& mac) {
  Bytes out = bytes_of({type, 1});
  for (const std::uint8_t b : mac.bytes) out.push_back(std::byte{b});
  return out;
}

// An ICMPv6 message in its packet, with its checksum.
inline Bytes icmp6(const IpAddress& from, const IpAddress& to, Bytes message,
                   std::uint8_t hops = 255) {
  Bytes pseudo = bytes_of(from) + bytes_of(to) + Bytes(8, std::byte{0});
  put16(pseudo, 34, message.size());
  pseudo[39] = std::byte{58};
  put16(message, 2, 0);
  const std::uint16_t sum = checksum(pseudo + message);
  std::memcpy(message.data() + 2, &sum, 2);
  return ipv6(from, to, 58, message, hops);
}

inline Bytes discovery(std::uint8_t type, std::uint8_t flags, const IpAddress& target,
                       const Bytes& options) {
  return bytes_of({type, 0, 0, 0, flags, 0, 0, 0}) + bytes_of(target) + options;
}

// Where a UDP frame comes from and goes to.
inline Endpoint endpoint_in(const Bytes& frame, bool destination) {
  const bool v4 = get16(frame, 12) == 0x0800;
  const std::size_t size = v4 ? 4 : 16;
  const std::size_t at = (v4 ? 26 : 22) + (destination ? size : 0);
  const UdpPort port(get16(frame, (v4 ? 34U : 54U) + (destination ? 2 : 0)));
  std::array<std::uint8_t, 16> bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  std::memcpy(bytes.data() + 16 - size, frame.data() + at, size);
  return {IpAddress::v6(bytes), port};
}
inline Endpoint source_of(const Bytes& frame) { return endpoint_in(frame, false); }
inline Endpoint destination_of(const Bytes& frame) { return endpoint_in(frame, true); }

}  // namespace millrace::test

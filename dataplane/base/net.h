// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Network value types with their parsers, used by control/ and dataplane/ (std only, no rte_*).
//
// Byte order is a type: Be16 and Be32 hold wire order, and only host() returns a number.
// An IpAddress is 16 bytes: IPv6 unchanged, IPv4 in the mapped form ::ffff:a.b.c.d (RFC 4291
// section 2.5.5.2). One comparison serves both families, and a flow slot stores two words. The
// mapped form, which must never appear on a wire, is no second text of an IPv4 address: parsing
// ::ffff:127.0.0.1 yields 127.0.0.1.
// UDP ports are UdpPort, NIC ports are EthPortId.

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace millrace {

// 16 bits in network byte order. No arithmetic, no implicit conversion.
class Be16 {
 public:
  constexpr Be16() = default;
  constexpr explicit Be16(std::uint16_t host) : raw_(swap(host)) {}
  [[nodiscard]] static constexpr Be16 from_raw(std::uint16_t raw) {
    Be16 v;
    v.raw_ = raw;
    return v;
  }
  [[nodiscard]] constexpr std::uint16_t host() const { return swap(raw_); }
  [[nodiscard]] constexpr std::uint16_t raw() const { return raw_; }
  friend constexpr bool operator==(Be16, Be16) = default;

 private:
  static constexpr std::uint16_t swap(std::uint16_t v) {
    return std::endian::native == std::endian::little ? std::byteswap(v) : v;
  }
  std::uint16_t raw_ = 0;
};

// 32 bits in network byte order.
class Be32 {
 public:
  constexpr Be32() = default;
  constexpr explicit Be32(std::uint32_t host) : raw_(swap(host)) {}
  [[nodiscard]] static constexpr Be32 from_raw(std::uint32_t raw) {
    Be32 v;
    v.raw_ = raw;
    return v;
  }
  [[nodiscard]] constexpr std::uint32_t host() const { return swap(raw_); }
  [[nodiscard]] constexpr std::uint32_t raw() const { return raw_; }
  friend constexpr bool operator==(Be32, Be32) = default;

 private:
  static constexpr std::uint32_t swap(std::uint32_t v) {
    return std::endian::native == std::endian::little ? std::byteswap(v) : v;
  }
  std::uint32_t raw_ = 0;
};

// A UDP port in host byte order.
class UdpPort {
 public:
  constexpr UdpPort() = default;
  constexpr explicit UdpPort(std::uint16_t number) : number_(number) {}
  [[nodiscard]] constexpr std::uint16_t number() const { return number_; }
  [[nodiscard]] constexpr Be16 wire() const { return Be16(number_); }
  [[nodiscard]] constexpr UdpPort next() const {
    return UdpPort(static_cast<std::uint16_t>(number_ + 1));
  }
  friend constexpr auto operator<=>(UdpPort, UdpPort) = default;

 private:
  std::uint16_t number_ = 0;
};

enum class Family : std::uint8_t { ipv4 = 4, ipv6 = 6 };

[[nodiscard]] constexpr std::string_view name_of(Family family) {
  return family == Family::ipv4 ? "IPv4" : "IPv6";
}

// An IPv4 or IPv6 address, in network byte order; default: the unspecified IPv6 address "::".
class IpAddress {
 public:
  constexpr IpAddress() = default;

  [[nodiscard]] static constexpr IpAddress v4(Be32 address) {
    const auto raw = std::bit_cast<std::array<std::uint8_t, 4>>(address.raw());
    IpAddress a;
    a.bytes_ = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, raw[0], raw[1], raw[2], raw[3]};
    return a;
  }
  [[nodiscard]] static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c,
                                              std::uint8_t d) {
    return v4(Be32(static_cast<std::uint32_t>(a) << 24 | static_cast<std::uint32_t>(b) << 16 |
                   static_cast<std::uint32_t>(c) << 8 | d));
  }
  [[nodiscard]] static constexpr IpAddress v6(const std::array<std::uint8_t, 16>& bytes) {
    IpAddress a;
    a.bytes_ = bytes;
    return a;
  }
  // Parses dotted IPv4 or RFC 4291 IPv6 text (no brackets, no zone).
  [[nodiscard]] static Result<IpAddress> parse(std::string_view text);

  [[nodiscard]] constexpr bool is_v4() const {
    constexpr auto kMapped =
        std::bit_cast<std::uint32_t>(std::array<std::uint8_t, 4>{0, 0, 255, 255});
    const auto quarters = std::bit_cast<std::array<std::uint32_t, 4>>(bytes_);
    return (quarters[0] | quarters[1]) == 0 && quarters[2] == kMapped;
  }
  [[nodiscard]] constexpr Family family() const { return is_v4() ? Family::ipv4 : Family::ipv6; }
  // The IPv4 address. Precondition: is_v4().
  [[nodiscard]] constexpr Be32 as_v4() const {
    return Be32::from_raw(
        std::bit_cast<std::uint32_t>(std::array{bytes_[12], bytes_[13], bytes_[14], bytes_[15]}));
  }
  [[nodiscard]] constexpr const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  // The 16 bytes as two words in memory order, as stored in flow slots.
  [[nodiscard]] constexpr std::array<std::uint64_t, 2> words() const {
    return std::bit_cast<std::array<std::uint64_t, 2>>(bytes_);
  }
  [[nodiscard]] static constexpr IpAddress from_words(std::array<std::uint64_t, 2> words) {
    return v6(std::bit_cast<std::array<std::uint8_t, 16>>(words));
  }

  // 0.0.0.0 or "::".
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_link_local() const;
  // Multicast of either family, and the limited broadcast 255.255.255.255.
  [[nodiscard]] bool is_multicast_or_broadcast() const;
  [[nodiscard]] bool is_private() const;  // in one of kPrivateNetworks
  // The IPv4 address embedded in an IPv6 address by a transition mechanism, to which a gateway on
  // the path would send: compatible (RFC 4291), translated (RFC 2765), 6to4 (RFC 3056), NAT64
  // (RFC 6052, RFC 8215) or Teredo client (RFC 4380).
  [[nodiscard]] std::optional<IpAddress> embedded_v4() const;
  // True if the relay may send media there: no unspecified, loopback, link-local, multicast or
  // broadcast address, not in 0.0.0.0/8 or 240.0.0.0/4, not site-local (RFC 3879). An embedded IPv4
  // address must be sendable and public.
  [[nodiscard]] bool is_sendable() const;

  static constexpr std::size_t kMaxText = 45;  // bytes of the longest IPv6 text
  // Prints text() to `at`, which has room for kMaxText bytes, and returns its end.
  char* print(char* at) const;
  [[nodiscard]] std::string text() const;
  friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) {
    const auto [a_first, a_second] = a.words();
    const auto [b_first, b_second] = b.words();
    return ((a_first ^ b_first) | (a_second ^ b_second)) == 0;
  }
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  alignas(8) std::array<std::uint8_t, 16> bytes_{};
};

struct Endpoint {
  IpAddress address;
  UdpPort port;

  // Parses the format of text(), except port 0. The error has no remedy: it depends on the use of
  // the endpoint, so the caller appends it.
  [[nodiscard]] static Result<Endpoint> parse(std::string_view text);
  // "192.0.2.1:4000" or "[2001:db8::1]:4000".
  [[nodiscard]] std::string text() const;
  friend constexpr bool operator==(const Endpoint&, const Endpoint&) = default;
};

// An address with a prefix length: an interface's own address, or a network.
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;  // bits: 0 to 32 (IPv4) or 0 to 128 (IPv6)

  // Parses "192.0.2.1/24" or "2001:db8::1/64". Keeps host bits.
  [[nodiscard]] static Result<Prefix> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& address) const;
  // True for the network address, the IPv4 broadcast address and the IPv6 subnet-router anycast
  // address (RFC 4291 section 2.6.1) of this network. A network of 2 addresses or 1 has none.
  [[nodiscard]] bool reserves(const IpAddress& address) const;
  [[nodiscard]] std::string text() const;
  friend constexpr bool operator==(const Prefix&, const Prefix&) = default;
};

// The distinct networks of these addresses.
[[nodiscard]] std::vector<Prefix> networks_of(const std::vector<Prefix>& addresses);

// RFC 1918, RFC 6598 (100.64.0.0/10), RFC 4193 (fc00::/7).
inline constexpr std::array<Prefix, 5> kPrivateNetworks = {{{IpAddress::v4(10, 0, 0, 0), 8},
                                                            {IpAddress::v4(172, 16, 0, 0), 12},
                                                            {IpAddress::v4(192, 168, 0, 0), 16},
                                                            {IpAddress::v4(100, 64, 0, 0), 10},
                                                            {IpAddress::v6({0xfc}), 7}}};

// Peers that an interface exchanges media with, out of all sendable addresses.
struct PeerPolicy {
  std::vector<Prefix> allow;  // empty: all
  std::vector<Prefix> deny;   // overrides allow, also for an IPv4 address embedded in IPv6

  [[nodiscard]] bool admits(const IpAddress& address) const;
};

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  // The low 48 bits of a word, in memory order. The upper 16 bits are ignored.
  static constexpr std::uint64_t kWordMask = 0x0000'ffff'ffff'ffff;
  [[nodiscard]] std::uint64_t word() const {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), bytes.size());
    return word;
  }
  [[nodiscard]] static MacAddress from_word(std::uint64_t word) {
    MacAddress mac;
    std::memcpy(mac.bytes.data(), &word, mac.bytes.size());
    return mac;
  }

  [[nodiscard]] std::string text() const;
  friend constexpr bool operator==(const MacAddress&, const MacAddress&) = default;
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

}  // namespace millrace

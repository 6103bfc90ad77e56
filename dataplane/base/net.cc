// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/net.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "dataplane/base/text.h"

namespace millrace {
namespace {

// True if `address`, in host order, is in network/length.
constexpr bool in(std::uint32_t address, std::uint32_t network, unsigned length) {
  return (std::uint64_t{address ^ network} >> (32 - length)) == 0;
}

constexpr bool v4_sendable(std::uint32_t a) {
  return !in(a, 0x00000000, 8)      // "this network" (RFC 1122)
         && !in(a, 0x7f000000, 8)   // loopback
         && !in(a, 0xa9fe0000, 16)  // link-local (RFC 3927)
         && !in(a, 0xe0000000, 3);  // multicast, reserved, broadcast
}

// An address as a 128-bit number.
struct Bits {
  std::uint64_t high, low;
};
constexpr std::uint64_t host_order(std::uint64_t word) {
  return std::endian::native == std::endian::little ? std::byteswap(word) : word;
}
Bits bits_of(const IpAddress& address) {
  const auto [high, low] = address.words();
  return {host_order(high), host_order(low)};
}
// Mask of the host bits of a network.
Bits host_bits(const Prefix& network) {
  const unsigned skip = network.address.is_v4() ? 96 : 0;  // the mapped form's own prefix
  const unsigned bits = 128 - skip - network.length;
  const auto ones = [](unsigned count) { return count >= 64 ? ~0ULL : (1ULL << count) - 1; };
  return {bits > 64 ? ones(bits - 64) : 0, ones(bits)};
}

// Texts of the numbers of a byte.
struct Decimal {
  std::array<char, 3> digits;
  std::uint8_t size;
};
constexpr auto kDecimals = [] {
  std::array<Decimal, 256> result{};
  for (unsigned n = 0; n < result.size(); ++n) {
    Decimal& text = result[n];
    for (const unsigned power : {100U, 10U, 1U}) {
      if (n >= power || power == 1) {
        text.digits[text.size++] = static_cast<char>('0' + n / power % 10);
      }
    }
  }
  return result;
}();

bool starts_with(const std::array<std::uint8_t, 16>& bytes,
                 std::initializer_list<std::uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
  // inet_pton needs a terminated string. The longest IPv6 text has 45 characters.
  char buffer[INET6_ADDRSTRLEN];
  if (text.size() < sizeof buffer && !text.contains('\0')) {
    std::ranges::copy(text, buffer);
    buffer[text.size()] = '\0';
    std::uint32_t v4_raw = 0;
    if (inet_pton(AF_INET, buffer, &v4_raw) == 1) return v4(Be32::from_raw(v4_raw));
    std::array<std::uint8_t, 16> v6_bytes{};
    if (inet_pton(AF_INET6, buffer, v6_bytes.data()) == 1) return v6(v6_bytes);
  }
  return fail("'" + std::string(text.substr(0, 64)) +
              "' is not an IP address; write 192.0.2.1 or 2001:db8::1");
}

bool IpAddress::is_unspecified() const {
  return is_v4() ? as_v4().raw() == 0 : bytes_ == std::array<std::uint8_t, 16>{};
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return in(as_v4().host(), 0x7f000000, 8);
  return *this == v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
}

bool IpAddress::is_link_local() const {
  if (is_v4()) return in(as_v4().host(), 0xa9fe0000, 16);
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddress::is_multicast_or_broadcast() const {
  if (is_v4()) return in(as_v4().host(), 0xe0000000, 4) || as_v4().host() == 0xffffffff;
  return bytes_[0] == 0xff;
}

bool IpAddress::is_private() const {
  return std::ranges::any_of(kPrivateNetworks, [&](const Prefix& p) { return p.contains(*this); });
}

std::optional<IpAddress> IpAddress::embedded_v4() const {
  const auto at = [this](std::size_t i, bool inverted = false) {
    std::uint32_t raw = 0;
    std::memcpy(&raw, &bytes_[i], sizeof raw);
    return v4(Be32::from_raw(inverted ? ~raw : raw));
  };
  if (is_v4()) return std::nullopt;
  if (starts_with(bytes_, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) ||
      starts_with(bytes_, {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}) ||
      starts_with(bytes_, {0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}) ||
      starts_with(bytes_, {0x00, 0x64, 0xff, 0x9b, 0, 1})) {
    return at(12);
  }
  if (starts_with(bytes_, {0x20, 0x02})) return at(2);
  if (starts_with(bytes_, {0x20, 0x01, 0, 0})) return at(12, true);
  return std::nullopt;
}

bool IpAddress::is_sendable() const {
  if (is_v4()) return v4_sendable(as_v4().host());
  // fe00::/8: site-local; the rest of it is not assigned.
  if (is_unspecified() || is_loopback() || is_link_local() || is_multicast_or_broadcast() ||
      starts_with(bytes_, {0xfe})) {
    return false;
  }
  const std::optional<IpAddress> inside = embedded_v4();
  return !inside || (v4_sendable(inside->as_v4().host()) && !inside->is_private());
}

char* IpAddress::print(char* at) const {
  if (!is_v4()) {
    char text[INET6_ADDRSTRLEN];
    const std::string_view printed = inet_ntop(AF_INET6, bytes_.data(), text, sizeof text);
    return at + printed.copy(at, printed.size());
  }
  for (std::size_t i = 12; i < 16; ++i) {
    if (i > 12) *at++ = '.';
    const Decimal& byte = kDecimals[bytes_[i]];
    std::memcpy(at, &byte, sizeof byte);  // with its size, which the next part overwrites
    at += byte.size;
  }
  return at;
}

std::string IpAddress::text() const {
  char buffer[kMaxText];
  return {buffer, print(buffer)};
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const std::size_t colon = std::min(text.rfind(':'), text.size());
  std::string_view host = text.substr(0, colon);
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  const Result<IpAddress> address = IpAddress::parse(host);
  const auto port = decimal<std::uint16_t>(text.substr(std::min(colon + 1, text.size())));
  if (!address || address->is_v4() == brackets || !port || *port == 0) {
    return fail("'" + std::string(text) + "' is not an address with a port");
  }
  return Endpoint{*address, UdpPort(*port)};
}

std::string Endpoint::text() const {
  const std::string number = std::to_string(port.number());
  return address.is_v4() ? address.text() + ":" + number : "[" + address.text() + "]:" + number;
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto wrong = [&] {
    return fail("'" + std::string(text.substr(0, 64)) +
                "' is not an address with its prefix length; write 192.0.2.1/24");
  };
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return wrong();
  const Result<IpAddress> address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::unexpected(address.error());
  const auto length = decimal<std::uint8_t>(text.substr(slash + 1), address->is_v4() ? 32 : 128);
  if (!length) return wrong();
  return Prefix{*address, *length};
}

bool Prefix::contains(const IpAddress& other) const {
  if (other.is_v4() != address.is_v4()) return false;
  if (address.is_v4()) return in(other.as_v4().host(), address.as_v4().host(), length);
  const Bits network = bits_of(address), asked = bits_of(other), hosts = host_bits(*this);
  return ((network.high ^ asked.high) & ~hosts.high) == 0 &&
         ((network.low ^ asked.low) & ~hosts.low) == 0;
}

bool Prefix::reserves(const IpAddress& other) const {
  if (!contains(other)) return false;
  const Bits hosts = host_bits(*this), asked = bits_of(other);
  if (hosts.low < 2) return false;
  const bool zeros = ((asked.high & hosts.high) | (asked.low & hosts.low)) == 0;
  // There is no broadcast in IPv6.
  return zeros || (address.is_v4() && (asked.low & hosts.low) == hosts.low);
}

std::string Prefix::text() const { return address.text() + "/" + std::to_string(length); }

std::vector<Prefix> networks_of(const std::vector<Prefix>& addresses) {
  std::vector<Prefix> networks;
  for (const Prefix& own : addresses) {
    const bool known = std::ranges::any_of(networks, [&](const Prefix& network) {
      return network.length == own.length && network.contains(own.address);
    });
    if (!known) networks.push_back(own);
  }
  return networks;
}

bool PeerPolicy::admits(const IpAddress& address) const {
  const auto lists = [](const std::vector<Prefix>& prefixes, const IpAddress& which) {
    return std::ranges::any_of(prefixes, [&](const Prefix& p) { return p.contains(which); });
  };
  const std::optional<IpAddress> inside = address.embedded_v4();
  if (lists(deny, address) || (inside && lists(deny, *inside))) return false;
  return allow.empty() || lists(allow, address);
}

std::string MacAddress::text() const {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    if (!out.empty()) out += ':';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

}  // namespace millrace

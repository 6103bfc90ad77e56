// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Bytes of a fuzz input made into messages of the three control protocols, valid enough to reach
// the calls behind the parsers, and into the hosts that these name.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "control/config/config.h"
#include "dataplane/base/net.h"
#include "tests/dataplane/packets.h"

namespace millrace::fuzz {

// The input, read from its front; zeros past its end.
class Bits {
 public:
  explicit Bits(std::span<const std::uint8_t> bytes) : rest_(bytes) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t first = rest_.front();
    rest_ = rest_.subspan(1);
    return first;
  }
  std::uint16_t word() {
    const unsigned high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  template <typename T, std::size_t N>
  const T& pick(const std::array<T, N>& of) {
    return of[byte() % N];
  }
  std::string_view text(std::size_t size) {
    const auto part = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(part.size());
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }

 private:
  std::span<const std::uint8_t> rest_;
};

// A host that may be a party, and the neighbour that packets to it go to.
struct Place {
  IpAddress address;
  IpAddress next_hop;
  std::uint8_t mac = 0;
  bool exists = true;  // answers ARP and ND
};

// The hosts that are reached from a media address.
[[nodiscard]] std::span<const Place> places_at(std::size_t media_address);

// Whether a frame is an ARP request or Neighbor Solicitation for this address.
[[nodiscard]] bool asks_for(const test::Bytes& frame, const IpAddress& address);

struct Message {
  ControlProtocol protocol = ControlProtocol::ng;
  std::string text;
  std::optional<IpAddress> peer;  // set: a datagram
};
[[nodiscard]] Message make_message(Bits& bits);

}  // namespace millrace::fuzz

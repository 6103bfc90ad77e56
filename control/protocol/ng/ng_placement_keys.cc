// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_placement_keys.h"

#include <algorithm>
#include <array>

namespace millrace::ng {
namespace {

using bencode::Value;

constexpr auto kInterfaces = std::to_array<Field<std::string_view, Placement>>({
    {"interface", &Placement::from_interface},
    {"from-interface", &Placement::from_interface},
    {"to-interface", &Placement::to_interface},
});
constexpr auto kFlags = std::to_array<std::string_view>({"internal", "external"});

}  // namespace

bool PlacementKeys::key(std::string_view name, Value value, Expected& expected) {
  if (std::string_view* const field = find(placement_, name, kInterfaces)) {
    const auto text = value.text();
    if (text) *field = *text;
    if (!text) expected = "a string";
    return true;
  }
  struct Key {
    std::string_view name;
    Expected (PlacementKeys::*read)(Value);
  };
  static constexpr auto kKeys = std::to_array<Key>({
      {"direction", &PlacementKeys::direction},
      {"peer", &PlacementKeys::inbound_peer},
      {"inbound-peer", &PlacementKeys::inbound_peer},
      {"outbound-peer", &PlacementKeys::outbound_peer},
      {"media-address", &PlacementKeys::media_address},
      {"address-family", &PlacementKeys::address_family},
  });
  const auto found = std::ranges::find_if(kKeys, [&](const Key& k) { return same(name, k.name); });
  if (found == kKeys.end()) return false;
  expected = (this->*found->read)(value);
  return true;
}

Expected PlacementKeys::direction(Value value) {
  const auto names = texts(value);
  if (!names || names->size() > 2) return "the names of two interfaces";
  placement_.from_interface = !names->empty() ? names->at(0) : std::string_view();
  placement_.to_interface = names->size() == 2 ? names->at(1) : std::string_view();
  directed_ = !names->empty();
  return {};
}

bool PlacementKeys::flag(std::string_view name) {
  const auto known = std::ranges::find_if(
      kFlags, [&](std::string_view interface) { return same(name, interface); });
  if (known == kFlags.end()) return false;
  if (!directed_)
    (placement_.from_interface.empty() ? placement_.from_interface : placement_.to_interface) =
        *known;
  return true;
}

Expected PlacementKeys::inbound_peer(Value value) {
  placement_.from_peer = address(value.text().value_or(""));
  return placement_.from_peer ? Expected() : "an IP address";
}

Expected PlacementKeys::outbound_peer(Value value) {
  placement_.to_peer = address(value.text().value_or(""));
  return placement_.to_peer ? Expected() : "an IP address";
}

// The far side sends media to this address: refuse the addresses that a received SDP may not have.
Expected PlacementKeys::media_address(Value value) {
  placement_.media_address = address(value.text().value_or(""));
  const bool usable = placement_.media_address && placement_.media_address->is_sendable();
  return usable ? Expected() : "a unicast IP address that media can be sent to";
}

Expected PlacementKeys::address_family(Value value) {
  constexpr std::string_view kExpected = "IP4 or IP6";
  const auto text = value.text();
  placement_.address_family.reset();
  if (!text) return kExpected;
  if (same(*text, "ip4")) placement_.address_family = Family::ipv4;
  if (same(*text, "ip6")) placement_.address_family = Family::ipv6;
  return placement_.address_family ? Expected() : kExpected;
}

}  // namespace millrace::ng

// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/base/device.h"

#include <algorithm>
#include <charconv>

#include "dataplane/base/text.h"

namespace millrace {
namespace {

// Consumes a hexadecimal number of `fewest` to `most` digits and its terminator `end`.
std::optional<unsigned> take_hex(std::string_view& text, std::size_t fewest, std::size_t most,
                                 char end) {
  const std::size_t digits = text.find(end);
  if (digits == text.npos || digits < fewest || digits > most) return std::nullopt;
  unsigned value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + digits, value, 16);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + digits) return std::nullopt;
  text.remove_prefix(digits + 1);
  return value;
}

}  // namespace

std::string_view device_name(std::string_view device) { return device.substr(0, device.find(',')); }

// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): a map, then a key
std::string_view device_argument(std::string_view device, std::string_view key) {
  for (auto comma = device.find(','); comma != device.npos; comma = device.find(',')) {
    device.remove_prefix(comma + 1);
    const auto argument = device.substr(0, device.find(','));
    if (argument.starts_with(key) && argument.substr(key.size()).starts_with('=')) {
      return argument.substr(key.size() + 1);
    }
  }
  return {};
}

std::optional<std::string> pci_address(std::string_view device) {
  std::string_view rest = device_name(device);
  const bool has_domain = std::ranges::count(rest, ':') == 2;
  const std::string domain(has_domain ? rest.substr(0, rest.find(':')) : "0000");
  if (has_domain && !take_hex(rest, 4, 8, ':')) return std::nullopt;
  std::string address = domain + ":" + std::string(rest);
  const auto bus = take_hex(rest, 2, 2, ':');
  const auto slot = take_hex(rest, 2, 2, '.');
  if (!bus || !slot || *slot > 0x1f || rest.size() != 1 || rest[0] < '0' || rest[0] > '7') {
    return std::nullopt;
  }
  std::ranges::transform(address, address.begin(), lower);
  return address;
}

std::string canonical_device(std::string_view device) {
  const auto address = pci_address(device);
  if (!address) return std::string(device);
  return *address + std::string(device.substr(device_name(device).size()));
}

bool opens_kernel_interface(std::string_view device) {
  // DPDK matches drivers by name prefix: "net_af_packet0", "net_af_packet_public".
  return device.starts_with("net_af_packet") || device.starts_with("net_af_xdp");
}

std::string_view kernel_interface(std::string_view device) {
  return opens_kernel_interface(device) ? device_argument(device, "iface") : std::string_view();
}

}  // namespace millrace

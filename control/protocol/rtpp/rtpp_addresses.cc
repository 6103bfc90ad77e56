// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/rtpp/rtpp_addresses.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "control/log.h"
#include "control/notify/notification.h"

namespace millrace::rtpp {
namespace {

constexpr std::string_view kSelf = "%%CC_SELF%%";

// URL-decodes: "%41b" is "Ab". None if two hexadecimal digits do not follow a '%'.
std::optional<std::string> unquote(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    if (text.front() != '%') {
      result += text.front();
      text.remove_prefix(1);
      continue;
    }
    unsigned value = 0;
    if (text.size() < 3) return std::nullopt;
    const auto [end, error] = std::from_chars(text.begin() + 1, text.begin() + 3, value, 16);
    if (error != std::errc{} || end != text.begin() + 3) return std::nullopt;
    result += static_cast<char>(value);
    text.remove_prefix(3);
  }
  return result;
}

const Interface* named(std::string_view name, const Config& config) {
  const auto found = std::ranges::find_if(
      config.interfaces, [&](const Interface& interface) { return interface.is_named(name); });
  return found == config.interfaces.end() ? nullptr : &*found;
}

// Takes "[IPv6]" or a bare IPv4 address off the front of `rest`.
std::optional<IpAddress> take_address(std::string_view& rest) {
  const bool brackets = rest.starts_with('[');
  const std::size_t size =
      brackets ? rest.find(']') : std::min(rest.find_first_not_of("0123456789."), rest.size());
  if (size == std::string_view::npos || size == 0) return std::nullopt;
  const auto address = IpAddress::parse(brackets ? rest.substr(1, size - 1) : rest.substr(0, size));
  rest.remove_prefix(brackets ? size + 1 : size);
  if (!address || address->is_v4() == brackets) return std::nullopt;
  return *address;
}

template <typename Matches>
const Interface* first(const Config& config, Matches&& matches) {
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    if (matches(config.interfaces[i], config.dataplane.interfaces[i])) return &config.interfaces[i];
  }
  return nullptr;
}

std::optional<Refusal> choose(const Interface* interface, Refusal otherwise, Request& to) {
  if (interface == nullptr) return otherwise;
  to.placement.from_interface = to.placement.to_interface = interface->name;
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> bridge(char side, int nth, const Config& config, Request& to) {
  const Refusal refusal = side == 'E' ? Refusal::external : Refusal::internal;
  if (nth >= 2 || config.interfaces.size() < 2) return refusal;
  const Interface* inside = named("internal", config);
  const Interface* outside = named("external", config);
  for (const Interface& interface : config.interfaces) {
    if (inside == nullptr && &interface != outside) inside = &interface;
  }
  for (const Interface& interface : config.interfaces) {
    if (outside == nullptr && &interface != inside) outside = &interface;
  }
  const Interface* chosen = side == 'E' ? outside : inside;
  if (chosen == nullptr) return refusal;
  if (nth == 0) {
    to.placement.from_interface = chosen->name;
    if (to.placement.to_interface.empty()) to.placement.to_interface = inside->name;
  } else {
    to.placement.to_interface = chosen->name;
  }
  return std::nullopt;
}

std::optional<Refusal> choose_local(std::string_view& rest, const Config& config, Request& to) {
  if (rest.starts_with('{')) {
    const std::size_t end = rest.find('}');
    if (end == std::string_view::npos || end == 1) return Refusal::local_address;
    const Interface* interface = named(rest.substr(1, end - 1), config);
    rest.remove_prefix(end + 1);
    return choose(interface, Refusal::unknown_local, to);
  }
  const auto address = take_address(rest);
  if (!address) return Refusal::local_address;
  to.placement.from_local = to.placement.to_local = *address;
  const auto has = [&](const Interface& interface, const InterfaceConfig&) {
    return std::ranges::count(interface.advertised, *address) > 0 ||
           std::ranges::count(interface.addresses, *address) > 0;
  };
  return choose(first(config, has), Refusal::unknown_local, to);
}

std::optional<Refusal> choose_by_remote(std::string_view& rest, const Config& config, Request& to) {
  const auto address = take_address(rest);
  if (!address) return Refusal::remote_address;
  const auto on_link = [&](const Interface&, const InterfaceConfig& device) {
    return std::ranges::any_of(device.addresses,
                               [&](const Prefix& p) { return p.contains(*address); });
  };
  const auto routes = [&](const Interface&, const InterfaceConfig& device) {
    return std::ranges::count(device.gateways, address->family(), &IpAddress::family) > 0;
  };
  const Interface* interface = first(config, on_link);
  if (interface == nullptr) interface = first(config, routes);
  return choose(interface, Refusal::no_local_for_remote, to);
}

bool is_notify_socket(std::string_view word) {
  return word.starts_with("unix:") || word.starts_with("tcp:");
}

// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): as in the command
std::optional<Refusal> notify(Command& to, std::string_view socket, std::string_view quoted,
                              const std::optional<IpAddress>& peer) {
  auto tag = unquote(quoted);
  if (!tag || !notification::is_one_line(*tag)) return Refusal::tag_encoding;
  if (!is_notify_socket(socket)) {
    log_name_once("notify-socket-ignored", socket);
    return std::nullopt;
  }
  std::string whole(socket);
  if (const std::size_t self = whole.find(kSelf); self != std::string::npos) {
    const IpAddress controller = peer.value_or(IpAddress::v4(127, 0, 0, 1));
    whole.replace(self, kSelf.size(),
                  controller.is_v4() ? controller.text() : "[" + controller.text() + "]");
  }
  to.owned.reserve(2);  // no reallocation: the request views its strings
  to.request.notify.socket = to.owned.emplace_back(std::move(whole));
  to.request.notify.tag = to.owned.emplace_back(std::move(*tag));
  return std::nullopt;
}

}  // namespace millrace::rtpp

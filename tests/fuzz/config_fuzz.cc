// SPDX-License-Identifier: BSD-3-Clause
// A config file: parse_config() ends with values in their ranges, or with messages that name their
// places, at most kMaxConfigMessages.

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "control/config/config.h"
#include "tests/fuzz/check.h"

namespace {

using namespace millrace;

void check(const ConfigRefusal& refusal) {
  FUZZ_CHECK(!refusal.messages.empty() && refusal.messages.size() <= kMaxConfigMessages);
  for (const std::string& message : refusal.messages) FUZZ_CHECK(message.starts_with("m.toml:"));
}

void check(const DataplaneConfig& config) {
  const std::set<unsigned> cores(config.worker_cores.begin(), config.worker_cores.end());
  FUZZ_CHECK(!cores.empty() && cores.size() == config.worker_cores.size());
  FUZZ_CHECK(*cores.rbegin() <= 1023 && config.main_core <= 1023);
  FUZZ_CHECK(config.idle_sleep_us <= kMaxIdleSleepUs);
  FUZZ_CHECK(config.idle_sleep_us != 0 || !cores.contains(config.main_core));
  FUZZ_CHECK(config.memory_mb >= 64 && config.mbufs >= 1024);
}

void check(const Interface& interface, const InterfaceConfig& device) {
  FUZZ_CHECK(!interface.name.empty() && interface.name == device.name);
  FUZZ_CHECK(!device.device.empty() && !device.addresses.empty());
  FUZZ_CHECK(interface.addresses.size() == device.addresses.size());
  FUZZ_CHECK(interface.ids.size() == device.addresses.size());
  for (const Prefix& own : device.addresses) FUZZ_CHECK(own.address.is_sendable());
  FUZZ_CHECK(device.gateways.size() <= 2 && interface.advertised.size() <= 2);
  FUZZ_CHECK(interface.port_min.number() >= 1024 &&
             interface.port_min.number() < interface.port_max.number());
}

void check(const ControlSocket& socket) {
  FUZZ_CHECK(socket.udp.has_value() + socket.tcp.has_value() + !socket.path.empty() == 1);
  FUZZ_CHECK(socket.path.size() <= kMaxSocketPath && socket.mode <= 0777);
  FUZZ_CHECK(socket.path.find('\0') == std::string::npos);
  FUZZ_CHECK(!socket.udp || socket.udp->address.is_loopback());
  FUZZ_CHECK(!socket.tls || socket.tcp);
  FUZZ_CHECK(!socket.tcp || socket.tls || socket.tcp->address.is_loopback());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = parse_config(text, "m.toml");
  if (!config) {
    check(config.error());
    return 0;
  }
  check(config->dataplane);
  FUZZ_CHECK(!config->interfaces.empty() && !config->control.empty());
  FUZZ_CHECK(config->interfaces.size() == config->dataplane.interfaces.size());
  std::set<IpAddress> addresses;
  for (std::size_t i = 0; i < config->interfaces.size(); ++i) {
    check(config->interfaces[i], config->dataplane.interfaces[i]);
    for (const IpAddress& address : config->interfaces[i].addresses) {
      FUZZ_CHECK(addresses.insert(address).second);
    }
  }
  for (const ControlSocket& socket : config->control) check(socket);
  for (const Notify& notify : config->notify) {
    FUZZ_CHECK(notify.proxy.empty() == (notify.type == NotifyType::events));
    check(notify.own);
  }
  return 0;
}

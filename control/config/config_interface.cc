// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config_interface.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "dataplane/base/device.h"

namespace millrace {
namespace {

std::string read_device(const TomlReader& reader) {
  const toml::node& node = reader.require("device", R"(device = "0000:3b:00.0")");
  const std::string device = TomlReader::string(node, "device");
  if (!pci_address(device) && !device.starts_with("net_")) {
    refuse(node, fmt::format("device '{0}' is neither a PCI address nor a DPDK virtual device; for "
                             "the kernel's interface {0} write \"net_af_packet0,iface={0}\"",
                             device));
  }
  return canonical_device(device);
}

// Whether two device texts name one device: the same PCI address or virtual device name, or the
// same kernel interface below a virtual device.
bool same_device(std::string_view a, std::string_view b) {
  const std::string_view iface = device_argument(a, "iface");
  return device_name(a) == device_name(b) ||
         (!iface.empty() && iface == device_argument(b, "iface"));
}

void check_is_free(const toml::node& node, const Config& config, std::string_view name) {
  const auto has = [&](const Interface& interface) { return interface.is_named(name); };
  if (std::ranges::none_of(config.interfaces, has)) return;
  refuse(node, fmt::format("interface name '{}' is taken; names must differ", name));
}

void read_names(const TomlReader& reader, const Config& config, InterfaceConfig& device) {
  reader.attempt([&] {
    const toml::node& node = reader.require("name", R"(name = "public")");
    const std::string name = TomlReader::string(node, "name");
    check_is_free(node, config, name);
    device.name = name;
  });
  reader.attempt([&] {
    device.device = read_device(reader);
    for (const InterfaceConfig& other : config.dataplane.interfaces) {
      if (other.device == device.device || !same_device(other.device, device.device)) continue;
      refuse(*reader.find("device"),
             fmt::format("device belongs to interface '{}' already, as '{}'; to share it write "
                         "the same text, else choose another device (virtual ones are numbered: "
                         "net_af_packet1)",
                         other.name, other.device));
    }
  });
}

// Calls `take` for the value of a key, or for each element if it is an array.
template <typename Take>
void for_each_text(const TomlReader& reader, std::string_view key, std::string_view example,
                   Take&& take) {
  reader.read_node(key, [&](const toml::node& node) {
    if (node.is_string()) return take(node);
    for (const toml::node& element : TomlReader::array(node, key, example)) {
      reader.attempt([&] { take(element); });
    }
  });
}

void read_aliases(const TomlReader& reader, const Config& config, Interface& interface) {
  const auto read = [&](const toml::node& node) {
    const std::string alias = TomlReader::string(node, "alias");
    check_is_free(node, config, alias);
    if (interface.is_named(alias)) {
      refuse(node, fmt::format("alias '{}' is the interface's own name; write it once", alias));
    }
    interface.aliases.push_back(alias);
  };
  for_each_text(reader, "aliases", R"(aliases = ["external", "pub"])", read);
}

bool has_family(const InterfaceConfig& config, Family family) {
  return std::ranges::any_of(config.addresses,
                             [&](const Prefix& own) { return own.address.family() == family; });
}

// Appends an address; refuses a second one of its family.
void append(const toml::node& node, std::string_view what, const IpAddress& address,
            std::vector<IpAddress>& list) {
  for (const IpAddress& other : list) {
    if (other.family() == address.family()) {
      refuse(node, fmt::format("{} {} is the second of its family; write one for IPv4 and one for "
                               "IPv6 at most",
                               what, address.text()));
    }
  }
  list.push_back(address);
}

void check_media_address(const toml::node& node, const Prefix& prefix) {
  const IpAddress& address = prefix.address;
  if (!address.is_sendable()) {
    refuse(node, fmt::format("{} cannot be a media address; write a unicast address that phones or "
                             "peers can send to",
                             address.text()));
  }
  if (!prefix.reserves(address)) return;
  const bool broadcast = address.is_v4() && (address.as_v4().host() & 1) != 0;
  refuse(node, fmt::format("{} is the {} address of its network; write a host's address with the "
                           "network's length, e.g. {}",
                           prefix.text(), broadcast ? "broadcast" : "network",
                           address.is_v4() ? "192.0.2.1/24" : "2001:db8::1/64"));
}

void read_gateways(const TomlReader& reader, InterfaceConfig& config) {
  const auto read = [&](const toml::node& node) {
    const IpAddress gateway = parsed(node, IpAddress::parse, "gateway");
    const auto is_own = [&](const Prefix& own) { return own.address == gateway; };
    const auto on_link = [&](const Prefix& own) { return own.contains(gateway); };
    const auto reserves = [&](const Prefix& own) { return own.reserves(gateway); };
    if (std::ranges::any_of(config.addresses, is_own)) {
      refuse(node, fmt::format("gateway {} is the interface's own address; write the router's",
                               gateway.text()));
    }
    if (std::ranges::any_of(config.addresses, reserves)) {
      refuse(node, fmt::format("gateway {} is the network or broadcast address of its network; "
                               "write the router's",
                               gateway.text()));
    }
    // IPv6 routers advertise their link-local addresses (RFC 4861 section 4.2).
    const bool link_local =
        gateway.is_link_local() && !gateway.is_v4() && has_family(config, Family::ipv6);
    if (!link_local && std::ranges::none_of(config.addresses, on_link)) {
      refuse(node,
             fmt::format("gateway {} is in none of the interface's networks; write an on-link "
                         "router or correct the prefix length",
                         gateway.text()));
    }
    append(node, "gateway", gateway, config.gateways);
  };
  for_each_text(reader, "gateway", R"(gateway = ["192.0.2.254", "fe80::1"])", read);
}

void read_advertised(const TomlReader& reader, Interface& interface) {
  const auto read = [&](const toml::node& node) {
    const IpAddress advertised = parsed(node, IpAddress::parse, "advertised");
    if (!advertised.is_sendable()) {
      refuse(node, fmt::format("{} cannot be advertised; write the public address that is "
                               "translated to this interface's",
                               advertised.text()));
    }
    if (std::ranges::count(interface.addresses, advertised.family(), &IpAddress::family) != 1) {
      refuse(node,
             "advertised replaces exactly one address of its own family; write one "
             "[[interface]] for each translated address");
    }
    append(node, "advertised", advertised, interface.advertised);
  };
  for_each_text(reader, "advertised", R"(advertised = ["203.0.113.10", "2001:db8::10"])", read);
}

// Prefixes, or "private" for all of kPrivateNetworks.
void read_prefixes(const TomlReader& reader, std::string_view key, std::vector<Prefix>& list) {
  const std::string example = fmt::format(R"({} = ["192.0.2.0/24", "private"])", key);
  const auto read = [&](const toml::node& node) {
    if (node.is_string() && **node.as_string() == "private") {
      list.insert(list.end(), kPrivateNetworks.begin(), kPrivateNetworks.end());
    } else {
      list.push_back(parsed(node, Prefix::parse, key));
    }
  };
  for_each_text(reader, key, example, read);
}

void read_ports(const TomlReader& reader, Interface& interface) {
  const toml::node* node = reader.find("ports");
  if (node == nullptr) return;
  const toml::array& range = TomlReader::array(*node, "ports", "ports = [30000, 40000]");
  if (range.size() != 2) {
    refuse(*node, fmt::format("ports has {} elements; write the lowest and the highest port: "
                              "ports = [30000, 40000]",
                              range.size()));
  }
  const auto lowest = TomlReader::integer(*range.get(0), "lowest port", 1024, 65535);
  const auto highest = TomlReader::integer(*range.get(1), "highest port", 1024, 65535);
  if ((lowest + 1) / 2 * 2 + 1 > highest) {
    refuse(*node, fmt::format("ports {} to {} hold no pair of an even port and the odd one above "
                              "it; write a wider range, e.g. [30000, 40000]",
                              lowest, highest));
  }
  interface.port_min = UdpPort(static_cast<std::uint16_t>(lowest));
  interface.port_max = UdpPort(static_cast<std::uint16_t>(highest));
}

// False: an address was refused.
bool read_addresses(const TomlReader& reader, InterfaceConfig& device, Interface& interface,
                    std::map<IpAddress, std::string>& owner_of) {
  constexpr std::string_view kExample = R"(addresses = ["192.0.2.1/24"])";
  const toml::node& addresses = reader.require("addresses", kExample);
  const toml::array& array = TomlReader::array(addresses, "addresses", kExample);
  if (array.empty()) refuse(addresses, fmt::format("addresses is empty; write {}", kExample));
  const auto read = [&](const toml::node& element) {
    const Prefix prefix = parsed(element, Prefix::parse, "address");
    check_media_address(element, prefix);
    const auto id = static_cast<MediaAddressId>(owner_of.size());
    const auto [owner, is_new] = owner_of.emplace(prefix.address, device.name);
    if (!is_new) {
      refuse(element, fmt::format("address {} is already on interface '{}'; each address may occur "
                                  "once",
                                  prefix.address.text(), owner->second));
    }
    device.addresses.push_back(prefix);
    interface.addresses.push_back(prefix.address);
    interface.ids.push_back(id);
  };
  bool good = true;
  for (const toml::node& element : array) good &= reader.attempt([&] { read(element); });
  return good;
}

}  // namespace

void read_interface(const toml::table& table, Config& config,
                    std::map<IpAddress, std::string>& owner_of, ConfigFaults& faults) {
  const TomlReader reader(table, "[[interface]]",
                          {"name", "aliases", "device", "addresses", "gateway", "advertised",
                           "ports", "latching", "relatch_after", "allow", "deny"},
                          faults);
  InterfaceConfig device;
  Interface interface;
  read_names(reader, config, device);
  interface.name = device.name;
  read_aliases(reader, config, interface);
  bool addressed = false;
  reader.attempt([&] { addressed = read_addresses(reader, device, interface, owner_of); });
  if (addressed) {  // these need the networks and families
    read_gateways(reader, device);
    read_advertised(reader, interface);
  }
  reader.attempt([&] { read_ports(reader, interface); });
  read_prefixes(reader, "allow", device.peers.allow);
  read_prefixes(reader, "deny", device.peers.deny);
  reader.read(
      "latching", interface.latching,
      {{"restricted", Latching::restricted}, {"open", Latching::open}, {"off", Latching::off}});
  reader.read_node("relatch_after", [&](const toml::node& node) {
    device.relatch_after =
        std::chrono::seconds(TomlReader::integer(node, "relatch_after", 0, 86'400));
  });
  config.dataplane.interfaces.push_back(std::move(device));
  config.interfaces.push_back(std::move(interface));
}

}  // namespace millrace

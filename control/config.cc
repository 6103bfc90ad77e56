// SPDX-License-Identifier: BSD-3-Clause
#include "control/config.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <system_error>

#include <fmt/format.h>

#include "control/config_control.h"
#include "control/toml_reader.h"

namespace millrace {

namespace {

constexpr std::uint32_t kYear = 365 * 24 * 3600;

// Runs a value's own parser and puts the place in front of its complaint.
template <typename T>
T parsed(const toml::node& node, Result<T> (*parse)(std::string_view), std::string_view what) {
  auto value = parse(TomlReader::string(node, what));
  if (!value) refuse(node, fmt::format("{}: {}", what, value.error().message));
  return *value;
}

const toml::table& table_of(const toml::node& node, std::string_view key) {
  if (!node.is_table()) refuse(node, fmt::format("'{0}' is not a table; write [{0}]", key));
  return *node.as_table();
}

// The tables of [[key]], of which there must be one at least.
std::vector<const toml::table*> tables_of(const toml::table& root, std::string_view key) {
  const toml::node* node = root.get(key);
  if (node == nullptr) refuse(root, fmt::format("no [[{0}]]; write at least one", key));
  if (!node->is_array() || node->as_array()->empty()) {
    refuse(*node, fmt::format("'{0}' is not an array of tables; write [[{0}]]", key));
  }
  std::vector<const toml::table*> tables;
  for (const toml::node& element : *node->as_array()) {
    if (!element.is_table()) {
      refuse(element, fmt::format("an element of '{0}' is not a table; write [[{0}]]", key));
    }
    tables.push_back(element.as_table());
  }
  return tables;
}

// ---- [dataplane] -----------------------------------------------------------------------------

void read_cores(const TomlReader& reader, DataplaneConfig& config) {
  constexpr std::uint32_t kHighestCore = 1023;
  constexpr std::string_view kExample = "worker_cores = [2, 3]";
  const toml::node& cores = reader.require("worker_cores", kExample);
  const toml::array& array = TomlReader::array(cores, "worker_cores", kExample);
  if (array.empty()) refuse(cores, fmt::format("worker_cores is empty; write {}", kExample));
  reader.read("main_core", config.main_core, 0, kHighestCore);
  for (const toml::node& element : array) {
    const unsigned core = TomlReader::integer(element, "worker core", 0, kHighestCore);
    if (std::ranges::find(config.worker_cores, core) != config.worker_cores.end()) {
      refuse(element, fmt::format("worker core {} is listed twice; list it once", core));
    }
    // The control threads live there: they would wait for a worker that never sleeps.
    if (core == config.main_core && config.idle_sleep_us == 0) {
      refuse(element, fmt::format("core {} is main_core, which a worker that always polls would "
                                  "starve; choose another one, or set idle_sleep_us",
                                  core));
    }
    config.worker_cores.push_back(core);
  }
}

void read_dataplane(const toml::table& root, DataplaneConfig& config) {
  const toml::node* node = root.get("dataplane");
  if (node == nullptr) {
    refuse(root, "no [dataplane]; write [dataplane] with worker_cores = [2, 3]");
  }
  const TomlReader reader(
      table_of(*node, "dataplane"), "[dataplane]",
      {"worker_cores", "main_core", "hugepages", "memory_mb", "mbufs", "idle_sleep_us", "eal"});
  reader.read("idle_sleep_us", config.idle_sleep_us, 0, kMaxIdleSleepUs);
  read_cores(reader, config);
  reader.read("hugepages", config.hugepages);
  reader.read("memory_mb", config.memory_mb, 64, 1U << 20);
  reader.read("mbufs", config.mbufs, 1024, 1U << 24);
  if (const toml::node* eal = reader.find("eal")) {
    for (const toml::node& argument :
         TomlReader::array(*eal, "eal", R"(eal = ["--iova-mode=va"])")) {
      config.eal.push_back(TomlReader::string(argument, "EAL argument"));
    }
  }
}

// ---- [[interface]] ---------------------------------------------------------------------------

// A PCI address with or without its domain: "0000:3b:00.0".
bool is_pci_address(std::string_view device) {
  if (device.size() == 7) return is_pci_address(fmt::format("0000:{}", device));
  constexpr std::string_view kForm = "hhhh:hh:hh.o";
  return std::ranges::equal(device, kForm, [](char c, char form) {
    if (form == 'h') return std::string_view("0123456789abcdefABCDEF").contains(c);
    return form == 'o' ? c >= '0' && c <= '7' : c == form;
  });
}

std::string read_device(const TomlReader& reader) {
  const toml::node& node = reader.require("device", R"(device = "0000:3b:00.0")");
  std::string device = TomlReader::string(node, "device");
  if (!is_pci_address(device) && !device.starts_with("net_")) {
    refuse(node, fmt::format("device '{0}' is neither a PCI address nor a DPDK virtual device; for "
                             "the kernel's interface {0} write \"net_af_packet0,iface={0}\"",
                             device));
  }
  return device;
}

void check_media_address(const toml::node& node, const Prefix& prefix) {
  const IpAddress& address = prefix.address;
  if (!address.is_sendable()) {
    refuse(node, fmt::format("{} cannot be a media address; write a unicast address that phones or "
                             "peers can send to",
                             address.text()));
  }
  if (!address.is_v4()) {
    refuse(node,
           fmt::format("{} is IPv6, and media is relayed over IPv4 only; write an IPv4 address",
                       prefix.text()));
  }
  if (prefix.length > 30) return;
  const std::uint32_t host_bits = prefix.length == 0 ? ~0U : (1U << (32 - prefix.length)) - 1;
  const std::uint32_t host = address.as_v4().host() & host_bits;
  if (host == 0 || host == host_bits) {
    refuse(node, fmt::format("{} is the {} address of its network; write a host's address with the "
                             "network's length, e.g. 192.0.2.1/24",
                             prefix.text(), host == 0 ? "network" : "broadcast"));
  }
}

void read_gateway(const TomlReader& reader, InterfaceConfig& config) {
  const toml::node* node = reader.find("gateway");
  if (node == nullptr) return;
  const IpAddress gateway = parsed(*node, IpAddress::parse, "gateway");
  if (std::ranges::any_of(config.addresses,
                          [&](const Prefix& own) { return own.address == gateway; })) {
    refuse(*node, fmt::format("gateway {} is the interface's own address; write the router's",
                              gateway.text()));
  }
  if (std::ranges::none_of(config.addresses,
                           [&](const Prefix& own) { return own.contains(gateway); })) {
    refuse(*node, fmt::format("gateway {} is in none of the interface's networks; write an on-link "
                              "router or correct the prefix length",
                              gateway.text()));
  }
  config.gateway = gateway;
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

void read_advertised(const TomlReader& reader, Interface& interface) {
  const toml::node* node = reader.find("advertised");
  if (node == nullptr) return;
  const IpAddress advertised = parsed(*node, IpAddress::parse, "advertised");
  if (!advertised.is_sendable()) {
    refuse(*node,
           fmt::format("{} cannot be advertised; write the public address that is translated "
                       "to this interface's",
                       advertised.text()));
  }
  if (interface.addresses.size() != 1 || interface.addresses[0].family() != advertised.family()) {
    refuse(*node,
           "advertised stands for exactly one address of its own family; write one "
           "[[interface]] for each translated address");
  }
  interface.advertised = advertised;
}

// What no two interfaces may share: the PCI address or the virtual device's name, and the kernel
// interface that a virtual device works on.
bool same_device(std::string_view a, std::string_view b) {
  const auto iface = [](std::string_view device) {
    const std::size_t at = device.find(",iface=");
    return at == std::string_view::npos ? ""
                                        : device.substr(at + 7, device.find(',', at + 7) - at - 7);
  };
  return a.substr(0, a.find(',')) == b.substr(0, b.find(',')) ||
         (!iface(a).empty() && iface(a) == iface(b));
}

void read_interface(const toml::table& table, Config& config,
                    std::map<IpAddress, std::string>& owner_of) {
  const TomlReader reader(
      table, "[[interface]]",
      {"name", "device", "addresses", "gateway", "advertised", "ports", "latching"});
  InterfaceConfig device;
  Interface interface;
  const toml::node& name = reader.require("name", R"(name = "public")");
  device.name = interface.name = TomlReader::string(name, "name");
  device.device = read_device(reader);
  for (const InterfaceConfig& other : config.dataplane.interfaces) {
    if (other.name == device.name) {
      refuse(name, fmt::format("interface name '{}' is taken; names must differ", device.name));
    }
    if (same_device(other.device, device.device)) {
      refuse(*reader.find("device"),
             fmt::format("device is interface '{}' already; give that one all its addresses, or "
                         "choose another device (virtual ones are numbered: net_af_packet1)",
                         other.name));
    }
  }
  constexpr std::string_view kExample = R"(addresses = ["192.0.2.1/24"])";
  const toml::node& addresses = reader.require("addresses", kExample);
  const toml::array& array = TomlReader::array(addresses, "addresses", kExample);
  if (array.empty()) refuse(addresses, fmt::format("addresses is empty; write {}", kExample));
  for (const toml::node& element : array) {
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
  }
  read_gateway(reader, device);
  read_advertised(reader, interface);
  read_ports(reader, interface);
  reader.read(
      "latching", interface.latching,
      {{"restricted", Latching::restricted}, {"open", Latching::open}, {"off", Latching::off}});
  config.dataplane.interfaces.push_back(std::move(device));
  config.interfaces.push_back(std::move(interface));
}

// ---- [timeouts], [limits], [log] ---------------------------------------------------------------

void read_timeouts(const toml::table& table, Timeouts& timeouts) {
  const TomlReader reader(table, "[timeouts]",
                          {"media", "silent", "offer", "final", "delete_delay", "quarantine"});
  const auto seconds = [&](std::string_view key, std::chrono::seconds& value) {
    if (const toml::node* node = reader.find(key)) {
      value = std::chrono::seconds(TomlReader::integer(*node, key, 0, kYear));
    }
  };
  seconds("media", timeouts.media);
  seconds("silent", timeouts.silent);
  seconds("offer", timeouts.offer);
  seconds("final", timeouts.final);
  seconds("delete_delay", timeouts.delete_delay);
  seconds("quarantine", timeouts.quarantine);
}

void read_limits(const toml::table& table, Limits& limits) {
  TomlReader(table, "[limits]", {"calls"}).read("calls", limits.calls, 0, 100'000'000);
}

void read_log(const toml::table& table, Log& log) {
  const TomlReader reader(table, "[log]", {"level", "format", "lines_per_second"});
  reader.read("level", log.level,
              {{"debug", std::string("debug")},
               {"info", std::string("info")},
               {"warning", std::string("warning")},
               {"error", std::string("error")}});
  reader.read("format", log.format, {{"text", LogFormat::text}, {"json", LogFormat::json}});
  reader.read("lines_per_second", log.lines_per_second, 1, 1'000'000);
}

Config read_root(const toml::table& root) {
  const TomlReader reader(root, "the file",
                          {"dataplane", "interface", "control", "timeouts", "limits", "log"});
  Config config;
  read_dataplane(root, config.dataplane);
  std::map<IpAddress, std::string> owner_of;
  for (const auto* table : tables_of(root, "interface")) read_interface(*table, config, owner_of);
  for (const auto* table : tables_of(root, "control")) read_control(*table, config.control);
  if (const auto* node = reader.find("timeouts")) {
    read_timeouts(table_of(*node, "timeouts"), config.timeouts);
  }
  if (const auto* node = reader.find("limits")) {
    read_limits(table_of(*node, "limits"), config.limits);
  }
  if (const auto* node = reader.find("log")) read_log(table_of(*node, "log"), config.log);
  return config;
}

}  // namespace

Result<Config> parse_config(std::string_view text, std::string_view name) {
  const auto refused = [&](const toml::source_position& at, std::string_view message) {
    return fail(fmt::format("{}:{}:{}: {}", name, at.line, at.column, message));
  };
  try {
    return read_root(toml::parse(text, name));
  } catch (const ConfigFault& fault) {
    return refused(fault.at, fault.message);
  } catch (const toml::parse_error& error) {
    return refused(error.source().begin, error.description());
  }
}

Result<Config> read_config(const std::filesystem::path& file) {
  std::error_code error;
  std::ifstream stream;
  if (std::filesystem::is_directory(file, error)) {
    error = std::make_error_code(std::errc::is_a_directory);
  } else if (stream.open(file, std::ios::binary); !stream) {
    error = std::error_code(errno, std::generic_category());
  }
  if (error) {
    return fail(fmt::format("{}: cannot be read: {}; name a readable file with --config",
                            file.string(), error.message()));
  }
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  return parse_config(text, file.string());
}

}  // namespace millrace

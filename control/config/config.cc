// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <system_error>

#include <fmt/format.h>

#include "control/config/config_control.h"
#include "control/config/config_interface.h"
#include "control/config/config_notify.h"
#include "control/config/toml_reader.h"

namespace millrace {

namespace {

constexpr std::uint32_t kYear = 365 * 24 * 3600;

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

// ---- [timeouts], [limits], [log] ---------------------------------------------------------------

void read_timeouts(const toml::table& table, Timeouts& timeouts) {
  const TomlReader reader(
      table, "[timeouts]",
      {"media", "party", "silent", "offer", "final", "delete_delay", "notify", "quarantine"});
  const auto seconds = [&](std::string_view key, std::chrono::seconds& value) {
    if (const toml::node* node = reader.find(key)) {
      value = std::chrono::seconds(TomlReader::integer(*node, key, 0, kYear));
    }
  };
  seconds("media", timeouts.media);
  seconds("party", timeouts.party);
  seconds("silent", timeouts.silent);
  seconds("offer", timeouts.offer);
  seconds("final", timeouts.final);
  seconds("delete_delay", timeouts.delete_delay);
  seconds("notify", timeouts.notify);
  seconds("quarantine", timeouts.quarantine);
}

void read_limits(const toml::table& table, Limits& limits) {
  const TomlReader reader(table, "[limits]", {"calls", "streams"});
  reader.read("calls", limits.calls, 0, 100'000'000);
  reader.read("streams", limits.streams, 1, 64);
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
  const TomlReader reader(
      root, "the file",
      {"dataplane", "interface", "control", "notify", "timeouts", "limits", "log"});
  Config config;
  read_dataplane(root, config.dataplane);
  std::map<IpAddress, std::string> owner_of;
  for (const auto* table : tables_of(root, "interface")) read_interface(*table, config, owner_of);
  for (const auto* table : tables_of(root, "control")) read_control(*table, config.control);
  if (reader.find("notify") != nullptr) {
    for (const auto* table : tables_of(root, "notify")) read_notify(*table, config.notify);
  }
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

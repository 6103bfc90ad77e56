// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/config.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

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

// The tables of [[key]]; at least one is required.
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
  bool known = reader.read("idle_sleep_us", config.idle_sleep_us, 0, kMaxIdleSleepUs);
  known &= reader.read("main_core", config.main_core, 0, kHighestCore);
  const toml::node& cores = reader.require("worker_cores", kExample);
  const toml::array& array = TomlReader::array(cores, "worker_cores", kExample);
  if (array.empty()) refuse(cores, fmt::format("worker_cores is empty; write {}", kExample));
  const auto read = [&](const toml::node& element) {
    const unsigned core = TomlReader::integer(element, "worker core", 0, kHighestCore);
    if (std::ranges::find(config.worker_cores, core) != config.worker_cores.end()) {
      refuse(element, fmt::format("worker core {} is listed twice; list it once", core));
    }
    // The control threads run on main_core: a worker that never sleeps would starve them.
    if (known && core == config.main_core && config.idle_sleep_us == 0) {
      refuse(element, fmt::format("core {} is main_core, which a worker that always polls would "
                                  "starve; choose another one, or set idle_sleep_us",
                                  core));
    }
    config.worker_cores.push_back(core);
  };
  for (const toml::node& element : array) reader.attempt([&] { read(element); });
}

void read_dataplane(const toml::table& root, DataplaneConfig& config, ConfigFaults& faults) {
  const toml::node* node = root.get("dataplane");
  if (node == nullptr) {
    refuse(root, "no [dataplane]; write [dataplane] with worker_cores = [2, 3]");
  }
  const TomlReader reader(
      table_of(*node, "dataplane"), "[dataplane]",
      {"worker_cores", "main_core", "hugepages", "memory_mb", "mbufs", "idle_sleep_us", "eal"},
      faults);
  reader.attempt([&] { read_cores(reader, config); });
  reader.read("hugepages", config.hugepages);
  reader.read("memory_mb", config.memory_mb, 64, 1U << 20);
  reader.read("mbufs", config.mbufs, 1024, 1U << 24);
  reader.read_node("eal", [&](const toml::node& eal) {
    for (const toml::node& argument :
         TomlReader::array(eal, "eal", R"(eal = ["--iova-mode=va"])")) {
      config.eal.push_back(TomlReader::string(argument, "EAL argument"));
    }
  });
}

// ---- [timeouts], [limits], [log] ---------------------------------------------------------------

void read_timeouts(const toml::table& table, Timeouts& timeouts, ConfigFaults& faults) {
  const TomlReader reader(
      table, "[timeouts]",
      {"media", "party", "silent", "offer", "final", "delete_delay", "notify", "quarantine"},
      faults);
  const auto seconds = [&](std::string_view key, std::chrono::seconds& value) {
    reader.read_node(key, [&](const toml::node& node) {
      value = std::chrono::seconds(TomlReader::integer(node, key, 0, kYear));
    });
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

void read_limits(const toml::table& table, Limits& limits, ConfigFaults& faults) {
  const TomlReader reader(table, "[limits]", {"calls", "streams"}, faults);
  reader.read("calls", limits.calls, 0, 100'000'000);
  reader.read("streams", limits.streams, 1, 64);
}

void read_log(const toml::table& table, Log& log, ConfigFaults& faults) {
  const TomlReader reader(table, "[log]", {"level", "format", "lines_per_second"}, faults);
  reader.read("level", log.level,
              {{"debug", std::string("debug")},
               {"info", std::string("info")},
               {"warning", std::string("warning")},
               {"error", std::string("error")}});
  reader.read("format", log.format, {{"text", LogFormat::text}, {"json", LogFormat::json}});
  reader.read("lines_per_second", log.lines_per_second, 1, 1'000'000);
}

Config read_root(const toml::table& root, ConfigFaults& faults) {
  const TomlReader reader(
      root, "the file",
      {"dataplane", "interface", "control", "notify", "timeouts", "limits", "log"}, faults);
  Config config;
  reader.attempt([&] { read_dataplane(root, config.dataplane, faults); });
  std::map<IpAddress, std::string> owner_of;
  const auto each_of = [&](std::string_view key, auto&& read) {
    reader.attempt([&] {
      for (const auto* table : tables_of(root, key)) reader.attempt([&] { read(*table); });
    });
  };
  each_of("interface", [&](const toml::table& t) { read_interface(t, config, owner_of, faults); });
  each_of("control", [&](const toml::table& t) { read_control(t, config.control, faults); });
  if (reader.find("notify") != nullptr) {
    each_of("notify", [&](const toml::table& t) { read_notify(t, config.notify, faults); });
  }
  reader.read_node("timeouts", [&](const toml::node& node) {
    read_timeouts(table_of(node, "timeouts"), config.timeouts, faults);
  });
  reader.read_node("limits", [&](const toml::node& node) {
    read_limits(table_of(node, "limits"), config.limits, faults);
  });
  reader.read_node(
      "log", [&](const toml::node& node) { read_log(table_of(node, "log"), config.log, faults); });
  return config;
}

ConfigRefusal refusal(ConfigFaults faults, std::string_view name, LogFormat format) {
  ConfigRefusal refused{.messages = {}, .format = format};
  std::ranges::stable_sort(faults, {}, [](const ConfigFault& fault) {
    return std::pair(fault.at.line, fault.at.column);
  });
  const bool all = faults.size() <= kMaxConfigMessages;
  for (const ConfigFault& fault :
       std::span(faults).first(all ? faults.size() : kMaxConfigMessages - 1)) {
    refused.messages.push_back(
        fmt::format("{}:{}:{}: {}", name, fault.at.line, fault.at.column, fault.message));
  }
  if (!all) {
    refused.messages.push_back(
        fmt::format("{}: and {} more errors", name, faults.size() - refused.messages.size()));
  }
  return refused;
}

}  // namespace

std::string ConfigRefusal::text() const { return fmt::format("{}", fmt::join(messages, "\n")); }

std::expected<Config, ConfigRefusal> parse_config(std::string_view text, std::string_view name) {
  ConfigFaults faults;
  try {
    Config config = read_root(toml::parse(text, name), faults);
    if (faults.empty()) return config;
    return std::unexpected(refusal(std::move(faults), name, config.log.format));
  } catch (const toml::parse_error& error) {  // the parser stops here
    faults.push_back({error.source().begin, std::string(error.description())});
    return std::unexpected(refusal(std::move(faults), name, LogFormat::text));
  }
}

std::expected<Config, ConfigRefusal> read_config(const std::filesystem::path& file) {
  std::error_code error;
  std::ifstream stream;
  if (std::filesystem::is_directory(file, error)) {
    error = std::make_error_code(std::errc::is_a_directory);
  } else if (stream.open(file, std::ios::binary); !stream) {
    error = std::error_code(errno, std::generic_category());
  }
  if (error) {
    return std::unexpected(ConfigRefusal{
        .messages = {fmt::format("{}: cannot be read: {}; name a readable file with --config",
                                 file.string(), error.message())}});
  }
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  return parse_config(text, file.string());
}

}  // namespace millrace

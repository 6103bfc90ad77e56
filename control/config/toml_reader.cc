// SPDX-License-Identifier: BSD-3-Clause
#include "control/config/toml_reader.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace millrace {

namespace {

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a decimal number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

// Levenshtein distance.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

void refuse(const toml::node& at, std::string message) {
  throw ConfigFault{at.source().begin, std::move(message)};
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
  std::string_view best;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  for (const std::string_view candidate : known) {
    const std::size_t distance = edits(word, candidate);
    if (distance < fewest && distance <= std::max<std::size_t>(2, candidate.size() / 2)) {
      best = candidate;
      fewest = distance;
    }
  }
  return best;
}

TomlReader::TomlReader(const toml::table& table, std::string_view name,
                       const std::vector<std::string_view>& known_keys, ConfigFaults& faults)
    : table_(table), name_(name), faults_(faults) {
  for (const auto& [key, node] : table) {
    if (std::ranges::find(known_keys, key.str()) != known_keys.end()) continue;
    const std::string_view near = nearest(key.str(), known_keys);
    faults.push_back({key.source().begin,
                      near.empty() ? fmt::format("unknown key '{}' in {}; known are {}", key.str(),
                                                 name, fmt::join(known_keys, ", "))
                                   : fmt::format("unknown key '{}' in {}; did you mean '{}'?",
                                                 key.str(), name, near)});
  }
}

const toml::node& TomlReader::require(std::string_view key, std::string_view example) const {
  const toml::node* node = find(key);
  if (node == nullptr) {
    refuse(table_, fmt::format("{} lacks '{}'; write {}", name_, key, example));
  }
  return *node;
}

bool TomlReader::read(std::string_view key, bool& value) const {
  return read_node(key, [&](const toml::node& node) {
    if (!node.is_boolean()) {
      refuse(node, fmt::format("{} is {}; write true or false", key, type_name(node)));
    }
    value = **node.as_boolean();
  });
}

bool TomlReader::read(std::string_view key, std::string& value) const {
  return read_node(key, [&](const toml::node& node) { value = string(node, key); });
}

std::uint32_t TomlReader::integer(const toml::node& node, std::string_view what,
                                  std::uint32_t lowest, std::uint32_t highest) {
  const auto* value = node.as_integer();
  if (value == nullptr) {
    refuse(node, fmt::format("{} is {}; write an integer from {} to {}", what, type_name(node),
                             lowest, highest));
  }
  if (**value < lowest || **value > highest) {
    refuse(node, fmt::format("{} is {}; it must be from {} to {}", what, **value, lowest, highest));
  }
  return static_cast<std::uint32_t>(**value);
}

std::string TomlReader::string(const toml::node& node, std::string_view what) {
  const auto* value = node.as_string();
  if (value == nullptr) {
    refuse(node, fmt::format("{} is {}; write a string in quotes", what, type_name(node)));
  }
  if ((*value)->empty()) refuse(node, fmt::format("{} is empty; leave it out or fill it", what));
  if ((*value)->find('\0') != std::string::npos) {
    refuse(node, fmt::format("{} holds a NUL character; remove it", what));
  }
  return **value;
}

const toml::array& TomlReader::array(const toml::node& node, std::string_view what,
                                     std::string_view example) {
  const auto* value = node.as_array();
  if (value == nullptr) {
    refuse(node, fmt::format("{} is {}; write an array: {}", what, type_name(node), example));
  }
  return *value;
}

void TomlReader::refuse_choice(const toml::node& node, std::string_view key, std::string_view word,
                               const std::vector<std::string_view>& words) {
  refuse(node, fmt::format("{} is '{}'; it must be one of \"{}\"", key, word,
                           fmt::join(words, "\", \"")));
}

}  // namespace millrace

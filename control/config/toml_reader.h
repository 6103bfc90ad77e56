// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Typed access to TOML tables; every fault has its line and column.
//
// A TomlReader reads one table with its known keys; any other key is a fault that suggests the
// nearest known one. Getters check type and range. A fault ends the current step: refuse() throws
// it, attempt() records it and continues with the next key, so that one pass finds all faults of a
// file. A step that depends on another runs only if that one succeeded. parse_config() formats
// faults as "file:line:column: ..." (start-up only).

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <toml++/toml.h>

#include "dataplane/base/result.h"

namespace millrace {

struct ConfigFault {
  toml::source_position at;
  std::string message;  // fault; remedy
};

using ConfigFaults = std::vector<ConfigFault>;

[[noreturn]] void refuse(const toml::node& at, std::string message);

// Runs a step. False: it was refused, and its fault is in `faults`.
template <typename Step>
bool attempt(ConfigFaults& faults, Step&& step) {
  try {
    std::forward<Step>(step)();
    return true;
  } catch (ConfigFault& fault) {
    faults.push_back(std::move(fault));
    return false;
  }
}

// The word of `known` with the smallest edit distance to `word`; empty if none is near.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       const std::vector<std::string_view>& known);

class TomlReader {
 public:
  // `name`: the table in messages, e.g. "[timeouts]".
  TomlReader(const toml::table& table, std::string_view name,
             const std::vector<std::string_view>& known_keys, ConfigFaults& faults);

  template <typename Step>
  bool attempt(Step&& step) const {
    return millrace::attempt(faults_, std::forward<Step>(step));
  }
  [[nodiscard]] const toml::node* find(std::string_view key) const { return table_.get(key); }
  // Refuses a table without the key; the message suggests `example`.
  [[nodiscard]] const toml::node& require(std::string_view key, std::string_view example) const;

  // Set `value` if the key is present. False: it was refused, and the fault is recorded.
  bool read(std::string_view key, bool& value) const;
  bool read(std::string_view key, std::string& value) const;
  template <std::unsigned_integral T>
  bool read(std::string_view key, T& value, std::uint32_t lowest, std::uint32_t highest) const {
    return read_node(key, [&](const toml::node& node) {
      value = static_cast<T>(integer(node, key, lowest, highest));
    });
  }
  template <typename E>
  bool read(std::string_view key, E& value,
            std::initializer_list<std::pair<std::string_view, E>> choices) const {
    return read_node(key, [&](const toml::node& node) {
      const std::string word = string(node, key);
      std::vector<std::string_view> words;
      for (const auto& [name, choice] : choices) {
        words.push_back(name);
        if (name == word) {
          value = choice;
          return;
        }
      }
      refuse_choice(node, key, word, words);
    });
  }
  // Runs a step on the key's value, if the key is present.
  template <typename Step>
  bool read_node(std::string_view key, Step&& step) const {
    const toml::node* node = find(key);
    return node == nullptr || attempt([&] { std::forward<Step>(step)(*node); });
  }

  [[nodiscard]] static std::uint32_t integer(const toml::node& node, std::string_view what,
                                             std::uint32_t lowest, std::uint32_t highest);
  [[nodiscard]] static std::string string(const toml::node& node, std::string_view what);
  [[nodiscard]] static const toml::array& array(const toml::node& node, std::string_view what,
                                                std::string_view example);

 private:
  [[noreturn]] static void refuse_choice(const toml::node& node, std::string_view key,
                                         std::string_view word,
                                         const std::vector<std::string_view>& words);

  const toml::table& table_;
  std::string_view name_;
  ConfigFaults& faults_;
};

// Parses a string value with `parse`; its error becomes a fault at the value.
template <typename T>
T parsed(const toml::node& node, Result<T> (*parse)(std::string_view), std::string_view what) {
  auto value = parse(TomlReader::string(node, what));
  if (!value) refuse(node, std::string(what) + ": " + value.error().message);
  return *value;
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Typed reading of TOML tables, in which every refusal knows its line and column.
//
// A TomlReader stands for one table and the keys that may occur in it; any other key is a fault
// that names the nearest known one. Getters check type and range. A fault ends the step that finds
// it: refuse() throws it, attempt() keeps it and lets the caller go on with the next key, so that
// one reading finds all faults of a file. A step that depends on another runs only if that one
// was good. parse_config() turns faults into "file:line:column: ..." (start-up only).

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
  std::string message;  // what is wrong; what would be right
};

using ConfigFaults = std::vector<ConfigFault>;

[[noreturn]] void refuse(const toml::node& at, std::string message);

// Runs a step; false if it was refused, with the fault kept.
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

// The word of `known` with the fewest edits to `word`; empty if none is near.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       const std::vector<std::string_view>& known);

class TomlReader {
 public:
  // `name` is how messages call the table, e.g. "[timeouts]".
  TomlReader(const toml::table& table, std::string_view name,
             const std::vector<std::string_view>& known_keys, ConfigFaults& faults);

  template <typename Step>
  bool attempt(Step&& step) const {
    return millrace::attempt(faults_, std::forward<Step>(step));
  }
  [[nodiscard]] const toml::node* find(std::string_view key) const { return table_.get(key); }
  // Refuses a table without the key; `example` is what the operator could write.
  [[nodiscard]] const toml::node& require(std::string_view key, std::string_view example) const;

  // Set `value` if the key is there. False: it is refused, and the fault is kept.
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
  // Runs a step on the key's value, if the key is there.
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

// Runs a value's own parser and puts the place in front of its complaint.
template <typename T>
T parsed(const toml::node& node, Result<T> (*parse)(std::string_view), std::string_view what) {
  auto value = parse(TomlReader::string(node, what));
  if (!value) refuse(node, std::string(what) + ": " + value.error().message);
  return *value;
}

}  // namespace millrace

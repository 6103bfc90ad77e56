// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Typed reading of TOML tables, in which every refusal knows its line and column.
//
// A TomlReader stands for one table and the keys that may occur in it; opening one refuses any
// other key and names the nearest known one. Getters check type and range. A refusal is thrown as
// a ConfigFault, which parse_config() turns into "file:line:column: ..." (start-up only).

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

[[noreturn]] void refuse(const toml::node& at, std::string message);

// The word of `known` with the fewest edits to `word`; empty if none is near.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       const std::vector<std::string_view>& known);

class TomlReader {
 public:
  // `name` is how messages call the table, e.g. "[timeouts]".
  TomlReader(const toml::table& table, std::string_view name,
             std::vector<std::string_view> known_keys);

  [[nodiscard]] const toml::table& table() const { return table_; }
  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] const toml::node* find(std::string_view key) const { return table_.get(key); }
  // Refuses a table without the key; `example` is what the operator could write.
  [[nodiscard]] const toml::node& require(std::string_view key, std::string_view example) const;

  // Sets `value` if the key is there.
  void read(std::string_view key, bool& value) const;
  void read(std::string_view key, std::string& value) const;
  template <std::unsigned_integral T>
  void read(std::string_view key, T& value, std::uint32_t lowest, std::uint32_t highest) const {
    if (const toml::node* node = find(key)) {
      value = static_cast<T>(integer(*node, key, lowest, highest));
    }
  }
  template <typename E>
  void read(std::string_view key, E& value,
            std::initializer_list<std::pair<std::string_view, E>> choices) const {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::string word = string(*node, key);
    std::vector<std::string_view> words;
    for (const auto& [name, choice] : choices) {
      words.push_back(name);
      if (name == word) {
        value = choice;
        return;
      }
    }
    refuse_choice(*node, key, word, words);
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
};

// Runs a value's own parser and puts the place in front of its complaint.
template <typename T>
T parsed(const toml::node& node, Result<T> (*parse)(std::string_view), std::string_view what) {
  auto value = parse(TomlReader::string(node, what));
  if (!value) refuse(node, std::string(what) + ": " + value.error().message);
  return *value;
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Helpers for parsing ng requests: names, lists, fields by name, unknown names.
//
// Names in tables are lower case with hyphens. same() folds the received name: case is ignored, and
// space and underscore count as hyphens. A list may also arrive as one string with commas.
// Unknown keeps each name once and limits their number and length, as peers choose them and the log
// prints them. Private to the parsers of requests (ng_request.h).

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/command/request.h"
#include "control/protocol/ng/bencode.h"
#include "dataplane/base/net.h"
#include "dataplane/base/text.h"

namespace millrace::ng {

constexpr char fold(char c) { return c == ' ' || c == '_' ? '-' : lower(c); }

// Compares a received `name` with a table's name (lower case, hyphens).
constexpr bool same(std::string_view name, std::string_view folded) {
  return name.size() == folded.size() &&
         std::equal(name.begin(), name.end(), folded.begin(),
                    [](char a, char b) { return a == b || fold(a) == b; });
}

template <std::size_t N>
bool among(std::string_view name, const std::array<std::string_view, N>& folded) {
  return std::ranges::any_of(folded, [&](std::string_view f) { return same(name, f); });
}

// Name of a key, flag or list item, and the member that it sets.
template <typename T, typename Owner = Request>
struct Field {
  std::string_view name;
  T Owner::* member;
};

template <typename T, typename Owner, std::size_t N>
T* find(Owner& owner, std::string_view name, const std::array<Field<T, Owner>, N>& fields) {
  const auto field =
      std::ranges::find_if(fields, [&](const auto& f) { return same(name, f.name); });
  return field == fields.end() ? nullptr : &(owner.*field->member);
}

// Word of a key, and the value that it stands for.
template <typename T>
struct NamedValue {
  std::string_view name;
  T value;
};

template <typename T, std::size_t N>
const T* find(std::string_view name, const std::array<NamedValue<T>, N>& words) {
  const auto word = std::ranges::find_if(words, [&](const auto& w) { return same(name, w.name); });
  return word == words.end() ? nullptr : &word->value;
}

[[nodiscard]] std::string_view trim(std::string_view text);

// Calls `take` with each string of a list, or with each comma-separated part of a string. False if
// the value is neither; some strings of a mixed list may have been passed before.
template <typename Take>
[[nodiscard]] bool for_each_text(bencode::Value value, Take&& take) {
  if (auto text = value.text()) {
    for (;;) {
      const std::size_t comma = std::min(text->find(','), text->size());
      const std::string_view part = trim(text->substr(0, comma));
      if (!part.empty()) take(part);
      if (comma == text->size()) return true;
      text->remove_prefix(comma + 1);
    }
  }
  if (value.kind() != bencode::Value::Kind::list) return false;
  bencode::Items items(value);
  while (const auto item = items.next()) {
    const auto text = item->text();
    if (!text) return false;
    take(*text);
  }
  return true;
}
[[nodiscard]] std::optional<std::vector<std::string_view>> texts(bencode::Value value);

// A blank string, or a list or dictionary without entries.
[[nodiscard]] bool is_empty(bencode::Value value);

// Parses an address as proxies write it: IPv6 with or without brackets.
[[nodiscard]] std::optional<IpAddress> address(std::string_view text);

// Decodes the escapes of flags: `--` is `=`, `..` is a space.
[[nodiscard]] std::string unescape(std::string_view text);

// Names without effect, each once, limited in number and length.
class Unknown {
 public:
  explicit Unknown(std::vector<std::string>& names) : names_(names) {}
  void add(std::string_view name, std::string_view value = {});

 private:
  std::vector<std::string>& names_;
};

// Expected form of a malformed value, for the error text; none: the value is valid.
using Expected = std::optional<std::string_view>;

}  // namespace millrace::ng

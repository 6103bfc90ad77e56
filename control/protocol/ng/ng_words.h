// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The words of ng requests: how names are compared, lists are read, and what is not known is told.
// Private to the readers of requests (ng_request.h).

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

// `name` as it came against a name as it is written here: lower case, hyphens.
constexpr bool same(std::string_view name, std::string_view folded) {
  return name == folded || std::ranges::equal(name, folded, {}, fold);
}

template <std::size_t N>
bool among(std::string_view name, const std::array<std::string_view, N>& folded) {
  return std::ranges::any_of(folded, [&](std::string_view f) { return same(name, f); });
}

// The name of a key, flag or list item, and what it fills.
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

[[nodiscard]] std::string_view trim(std::string_view text);

// Gives `take` the texts of a list, or the parts of a text between commas; false if it is neither,
// maybe after some.
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

// An address as proxies write it: IPv6 with or without brackets.
[[nodiscard]] std::optional<IpAddress> address(std::string_view text);

// In flags `--` stands for `=` and `..` for a space.
[[nodiscard]] std::string unescape(std::string_view text);

// What is not acted upon, each once and no more than a log can bear.
class Unknown {
 public:
  explicit Unknown(std::vector<std::string>& names) : names_(names) {}
  void add(std::string_view name, std::string_view value = {});

 private:
  std::vector<std::string>& names_;
};

// What a key's value should have been, if it is not that.
using Expected = std::optional<std::string_view>;

}  // namespace millrace::ng

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

#include "control/protocol/bencode.h"
#include "control/request.h"
#include "dataplane/net.h"

namespace millrace::ng {

constexpr char fold(char c) { return c == ' ' || c == '_' ? '-' : lower(c); }

// `name` as it came against a name as it is written here: lower case, hyphens.
constexpr bool same(std::string_view name, std::string_view folded) {
  return std::ranges::equal(name, folded, {}, fold);
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

// The texts of a list, or the parts of a text between commas; nothing if it is neither.
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

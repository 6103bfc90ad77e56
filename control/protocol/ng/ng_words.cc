// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_words.h"

namespace millrace::ng {

std::string_view trim(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

std::optional<std::vector<std::string_view>> texts(bencode::Value value) {
  std::vector<std::string_view> found;
  if (!for_each_text(value, [&](std::string_view text) { found.push_back(text); })) return {};
  return found;
}

bool is_empty(bencode::Value value) {
  if (const auto text = value.text()) return trim(*text).empty();
  return !bencode::Items(value).next();
}

std::optional<IpAddress> address(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  const auto parsed = IpAddress::parse(text);
  return parsed ? std::optional(*parsed) : std::nullopt;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view pair = text.substr(i, 2);
    if (pair == "--" || pair == "..") {
      out += pair == "--" ? '=' : ' ';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): a key and its value
void Unknown::add(std::string_view name, std::string_view value) {
  constexpr std::size_t kMostNames = 32;
  constexpr std::size_t kLongestName = 64;
  std::string text(name);
  if (!value.empty()) (text += '=') += value;
  text.resize(std::min(text.size(), kLongestName));
  if (names_.size() < kMostNames && std::ranges::find(names_, text) == names_.end()) {
    names_.push_back(std::move(text));
  }
}

}  // namespace millrace::ng

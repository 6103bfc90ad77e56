// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/ng_flags.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "control/protocol/ng/bencode.h"
#include "control/protocol/ng/ng_words.h"

namespace millrace::ng {
namespace {

constexpr unsigned kMostNested = 8;

struct Word {
  std::string_view key;  // empty: none
  std::string_view value;
};

// Splits `text` into words; a bracketed value is one word. None: brackets do not match.
std::optional<std::vector<Word>> words(std::string_view text) {
  std::vector<Word> found;
  std::size_t begin = 0;
  std::size_t equals = text.npos;
  unsigned depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    if (c == '[') ++depth;
    if (c == ']' && depth-- == 0) return std::nullopt;
    if (c == '=' && depth == 0 && equals == text.npos) equals = i;
    const bool ends = depth == 0 && (c == ' ' || c == '\t' || c == '\r' || c == '\n');
    if (!ends) continue;
    if (equals != text.npos && equals > begin) {
      found.push_back(
          {text.substr(begin, equals - begin), text.substr(equals + 1, i - equals - 1)});
    } else if (i > begin) {
      found.push_back({{}, text.substr(begin, i - begin)});
    }
    begin = i + 1;
    equals = text.npos;
  }
  return depth == 0 ? std::optional(std::move(found)) : std::nullopt;
}

bool write_value(bencode::Writer& out, std::string_view text, unsigned depth);

struct Key {
  std::string_view name;
  std::vector<std::string_view> values;
};

// Collects the values of each key, in order of first appearance.
std::vector<Key> grouped(const std::vector<Word>& all) {
  std::vector<Key> keys;
  std::map<std::string_view, std::size_t> known;  // index in keys
  for (const Word& word : all) {
    if (word.key.empty()) continue;
    const auto [at, is_new] = known.try_emplace(word.key, keys.size());
    if (is_new) keys.push_back({word.key, {}});
    keys[at->second].values.push_back(word.value);
  }
  return keys;
}

// Writes each key with its value, or with the list of its values.
bool write_keys(bencode::Writer& out, const std::vector<Word>& all, unsigned depth) {
  for (const Key& key : grouped(all)) {
    out.string(key.name);
    const bool several = key.values.size() > 1;
    if (several) out.list();
    for (const std::string_view value : key.values) {
      if (!write_value(out, value, depth)) return false;
    }
    if (several) out.end();
  }
  return true;
}

bool write_value(bencode::Writer& out, std::string_view text, unsigned depth) {
  if (!text.starts_with('[') || !text.ends_with(']')) {
    out.string(unescape(text));
    return true;
  }
  const auto inner = words(text.substr(1, text.size() - 2));
  if (!inner || depth == kMostNested) return false;
  const bool keys = std::ranges::any_of(*inner, [](const Word& word) { return !word.key.empty(); });
  if (keys) {
    out.dictionary();
    if (!write_keys(out, *inner, depth + 1)) return false;
  } else {
    out.list();
    for (const Word& word : *inner) {
      if (!write_value(out, word.value, depth + 1)) return false;
    }
  }
  out.end();
  return true;
}

}  // namespace

std::optional<std::string> expand_flags(std::string_view text) {
  const auto all = words(text);
  if (!all) return std::nullopt;
  bencode::Writer out;
  out.dictionary();
  if (!write_keys(out, *all, 0)) return std::nullopt;
  out.list("flags");
  for (const Word& word : *all) {
    if (word.key.empty()) out.string(word.value);
  }
  out.end();
  out.end();
  return std::move(out).take();
}

}  // namespace millrace::ng

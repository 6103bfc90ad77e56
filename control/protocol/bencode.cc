// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/bencode.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "dataplane/net.h"

namespace millrace::bencode {
namespace {

using State = Extent::State;

constexpr std::size_t kLongestNumber = std::numeric_limits<std::int64_t>::digits10 + 2;

constexpr Extent kIncomplete{State::incomplete};
constexpr Extent kMalformed{State::malformed};

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// LENGTH ':' BYTES, without leading zeros. Precondition: `in` starts with a digit.
Extent scan_string(std::string_view in, std::size_t limit) {
  std::size_t length = 0;
  std::size_t digits = 0;
  for (; digits < in.size() && is_digit(in[digits]); ++digits) {
    if (digits > 0 && in[0] == '0') return kMalformed;
    const auto digit = static_cast<std::size_t>(in[digits] - '0');
    if (digit > limit || length > (limit - digit) / 10) return kMalformed;
    length = length * 10 + digit;
  }
  if (digits >= limit || length > limit - digits - 1) return kMalformed;
  if (digits == in.size()) return kIncomplete;
  if (in[digits] != ':') return kMalformed;
  if (length > in.size() - digits - 1) return kIncomplete;
  return {State::complete, digits + 1 + length};
}

// 'i' NUMBER 'e' of 64 bits, without leading zeros or "-0". Precondition: `in` starts with 'i'.
Extent scan_integer(std::string_view in) {
  constexpr std::size_t kLongest = std::numeric_limits<std::int64_t>::digits10 + 1;
  const std::size_t sign = in.size() > 1 && in[1] == '-' ? 1 : 0;
  std::size_t end = 1 + sign;
  while (end < in.size() && is_digit(in[end])) ++end;
  const std::string_view digits = in.substr(1 + sign, end - 1 - sign);
  if (digits.size() > kLongest) return kMalformed;
  if (digits.size() > 1 && digits[0] == '0') return kMalformed;
  if (digits == "0" && sign == 1) return kMalformed;
  if (end == in.size()) return kIncomplete;
  if (in[end] != 'e' || !decimal<std::int64_t>(in.substr(1, end - 1))) return kMalformed;
  return {State::complete, end + 1};
}

// What is open, innermost in the lowest bit.
class Nesting {
 public:
  [[nodiscard]] bool empty() const { return depth_ == 0; }
  [[nodiscard]] bool key_is_due() const { return (key_due_ & 1) != 0; }
  [[nodiscard]] bool value_is_due() const { return (dictionaries_ & ~key_due_ & 1) != 0; }
  [[nodiscard]] bool open(bool dictionary) {
    if (depth_ == kMaxDepth) return false;
    ++depth_;
    dictionaries_ = dictionaries_ << 1 | (dictionary ? 1U : 0U);
    key_due_ = key_due_ << 1 | (dictionary ? 1U : 0U);
    return true;
  }
  void close() {
    --depth_;
    dictionaries_ >>= 1;
    key_due_ >>= 1;
  }
  void item_done() { key_due_ ^= dictionaries_ & 1; }

 private:
  unsigned depth_ = 0;
  std::uint32_t dictionaries_ = 0;
  std::uint32_t key_due_ = 0;  // of a dictionary: the next item is a key, or its end
};
static_assert(kMaxDepth <= 32);

}  // namespace

Extent scan(std::string_view buffer, std::size_t limit) {
  Nesting nesting;
  std::size_t at = 0;
  for (;;) {
    if (at >= limit) return kMalformed;
    if (at == buffer.size()) return kIncomplete;
    const char c = buffer[at];
    if (nesting.key_is_due() && !is_digit(c) && c != 'e') return kMalformed;
    if (c == 'd' || c == 'l') {
      if (!nesting.open(c == 'd')) return kMalformed;
      ++at;
      continue;
    }
    if (c == 'e') {
      if (nesting.empty() || nesting.value_is_due()) return kMalformed;
      nesting.close();
      ++at;
    } else {
      if (!is_digit(c) && c != 'i') return kMalformed;
      const std::string_view rest = buffer.substr(at);
      const Extent item = c == 'i' ? scan_integer(rest) : scan_string(rest, limit - at);
      if (item.state != State::complete) return item;
      at += item.size;
    }
    if (nesting.empty()) return at <= limit ? Extent{State::complete, at} : kMalformed;
    nesting.item_done();
  }
}

std::optional<Value> Value::read(std::string_view bytes) {
  if (scan(bytes) != Extent{State::complete, bytes.size()}) return std::nullopt;
  return Value(bytes);
}

Value::Kind Value::kind() const {
  switch (bytes_.front()) {
    case 'd':
      return Kind::dictionary;
    case 'l':
      return Kind::list;
    case 'i':
      return Kind::integer;
    default:
      return Kind::string;
  }
}

std::optional<std::string_view> Value::text() const {
  switch (kind()) {
    case Kind::string:
      return bytes_.substr(bytes_.find(':') + 1);
    case Kind::integer:
      return bytes_.substr(1, bytes_.size() - 2);
    default:
      return std::nullopt;
  }
}

std::optional<std::int64_t> Value::integer() const {
  const auto digits = text();
  return digits ? decimal<std::int64_t>(*digits) : std::nullopt;
}

Items::Items(Value container) {
  const auto kind = container.kind();
  if (kind == Value::Kind::list || kind == Value::Kind::dictionary) {
    rest_ = container.bytes_.substr(1, container.bytes_.size() - 2);
  }
}

std::optional<Value> Items::next() {
  if (rest_.empty()) return std::nullopt;
  const Extent extent = is_digit(rest_.front()) ? scan_string(rest_, rest_.size()) : scan(rest_);
  const Value item(rest_.substr(0, extent.size));
  rest_.remove_prefix(item.bytes_.size());
  return item;
}

Entries::Entries(Value dictionary) {
  if (dictionary.kind() == Value::Kind::dictionary) items_.emplace(dictionary);
}

std::optional<Entry> Entries::next() {
  if (!items_) return std::nullopt;
  const auto key = items_->next();
  const auto value = items_->next();
  if (!key || !value) return std::nullopt;
  return Entry{key->text().value_or(""), *value};
}

void Writer::string(std::string_view bytes) {
  append(kLongestNumber + 1 + bytes.size(), [&](char* at) {
    at = std::to_chars(at, at + kLongestNumber, bytes.size()).ptr;
    *at++ = ':';
    return at + bytes.copy(at, bytes.size());
  });
}

void Writer::integer(std::int64_t value) {
  append(kLongestNumber + 2, [&](char* at) {
    *at++ = 'i';
    at = std::to_chars(at, at + kLongestNumber, value).ptr;
    *at++ = 'e';
    return at;
  });
}

// `write` is given room for so many bytes at most, and tells where those that it wrote end.
void Writer::append(std::size_t most, auto write) {
  const std::size_t before = out_.size();
  out_.resize_and_overwrite(before + most, [&](char* text, std::size_t) {
    return static_cast<std::size_t>(write(text + before) - text);
  });
}

void Writer::entry(std::string_view key, std::uint64_t value) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  entry(key, static_cast<std::int64_t>(value < kMost ? value : kMost));
}

}  // namespace millrace::bencode

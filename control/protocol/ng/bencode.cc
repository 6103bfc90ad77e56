// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/bencode.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "dataplane/base/net.h"
#include "dataplane/base/text.h"

namespace millrace::bencode {
namespace {

using State = Extent::State;

constexpr Extent kIncomplete{State::incomplete};
constexpr Extent kMalformed{State::malformed};

constexpr std::size_t kLongestNumber = std::numeric_limits<std::int64_t>::digits10 + 2;

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// LENGTH ':' BYTES, without leading zeros. Precondition: `in` starts with a digit.
Extent scan_string(std::string_view in, std::size_t limit) {
  constexpr std::size_t kMostDigits = std::numeric_limits<std::size_t>::digits10 - 1;
  auto length = static_cast<std::size_t>(in[0] - '0');
  std::size_t digits = 1;
  for (; digits < in.size() && is_digit(in[digits]); ++digits) {
    if (length == 0 || digits == kMostDigits) return kMalformed;
    length = length * 10 + static_cast<std::size_t>(in[digits] - '0');
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

// Open lists and dictionaries as bit stacks, innermost in the lowest bit.
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
  std::uint32_t key_due_ = 0;  // dictionary whose next item is a key or its end
};
static_assert(kMaxDepth <= 32);

// Precondition: scan() found `values` complete.
std::size_t size_of_first(std::string_view values) {
  if (!is_digit(values.front())) return scan(values).size;
  std::size_t length = 0;
  std::size_t digits = 0;
  for (; values[digits] != ':'; ++digits) {
    length = length * 10 + static_cast<std::size_t>(values[digits] - '0');
  }
  return digits + 1 + length;
}

// Most numbers of a reply have one digit.
char* print(char* at, std::int64_t number) {
  if (number < 0 || number > 9) return std::to_chars(at, at + kLongestNumber, number).ptr;
  *at = static_cast<char>('0' + number);
  return at + 1;
}

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
  const Value item(rest_.substr(0, size_of_first(rest_)));
  rest_.remove_prefix(item.bytes_.size());
  return item;
}

Entries::Entries(Value dictionary)
    : items_(dictionary.kind() == Value::Kind::dictionary ? dictionary : Value("le")) {}

std::optional<Entry> Entries::next() {
  const auto key = items_.next();
  const auto value = items_.next();
  if (!key || !value) return std::nullopt;
  return Entry{key->string(), *value};
}

void Writer::string(std::string_view bytes) {
  char* at = room(kLongestNumber + 1 + bytes.size());
  at = print(at, static_cast<std::int64_t>(bytes.size()));
  *at++ = ':';
  written_to(at + bytes.copy(at, bytes.size()));
}

void Writer::string(const IpAddress& address) {
  char text[IpAddress::kMaxText];
  string(std::string_view(text, address.print(text)));
}

void Writer::integer(std::int64_t value) {
  char* at = room(kLongestNumber + 2);
  *at++ = 'i';
  at = print(at, value);
  *at++ = 'e';
  written_to(at);
}

void Writer::grow(std::size_t bytes) {
  out_.resize(std::max(2 * out_.size(), size_ + bytes));
  out_.resize(out_.capacity());
}

void Writer::integer(std::uint64_t value) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  integer(static_cast<std::int64_t>(value < kMost ? value : kMost));
}

}  // namespace millrace::bencode

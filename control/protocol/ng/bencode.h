// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Bencode as the ng protocol uses it: byte strings, integers, lists, dictionaries.
//
// scan() walks a buffer once, without recursion or allocation, and finds the end of its first
// value. It is the only place that validates lengths: nesting depth is limited, and a declared
// length is compared with the remaining bytes before any addition. A Value is a view of bytes that
// scan() found complete, so reading it stays within them. There is no tree: Items and Entries
// iterate a list or a dictionary in order.
//
// Strict, with one exception: keys of a dictionary may be unsorted and repeated. SIP proxies write
// them in any order, and twice if their script sets an option twice.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "control/protocol/extent.h"
#include "dataplane/base/net.h"

namespace millrace::bencode {

inline constexpr unsigned kMaxDepth = 32;

// A value longer than `limit` is malformed, also if the buffer holds only its start.
[[nodiscard]] Extent scan(std::string_view buffer, std::size_t limit = SIZE_MAX);

class Value {
 public:
  enum class Kind : std::uint8_t { string, integer, list, dictionary };

  // `bytes` must be exactly one value; else none.
  [[nodiscard]] static std::optional<Value> read(std::string_view bytes);

  [[nodiscard]] Kind kind() const {
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
  // A string's bytes, or an integer's digits, as peers write numbers either way; else none.
  [[nodiscard]] std::optional<std::string_view> text() const {
    switch (kind()) {
      case Kind::string:
        return string();
      case Kind::integer:
        return bytes_.substr(1, bytes_.size() - 2);
      default:
        return std::nullopt;
    }
  }
  // An integer, or a string that is a whole decimal number; else none.
  [[nodiscard]] std::optional<std::int64_t> integer() const;

 private:
  friend class Items;
  friend class Entries;
  explicit Value(std::string_view bytes) : bytes_(bytes) {}
  // Precondition: kind() is string.
  [[nodiscard]] std::string_view string() const {
    std::size_t colon = 1;
    while (bytes_[colon] != ':') ++colon;
    return bytes_.substr(colon + 1);
  }
  std::string_view bytes_;  // exactly one value that scan() found complete
};

// Iterates the items of a list, or a dictionary's keys and values in turn. Empty for other kinds.
class Items {
 public:
  explicit Items(Value container);
  [[nodiscard]] std::optional<Value> next();

 private:
  std::string_view rest_;
};

// Iterates the entries of a dictionary. Empty for other kinds.
struct Entry {
  std::string_view key;
  Value value;
};
class Entries {
 public:
  explicit Entries(Value dictionary);
  [[nodiscard]] std::optional<Entry> next();

 private:
  Items items_;
};

// Appends values in the order of the calls. For a well-formed result, the caller closes each list
// and dictionary, and writes a key before each value of a dictionary.
// A reply has hundreds of strings, most of them literals: their length prefix is a constant.
class Writer {
 public:
  // Appends to `begin`.
  explicit Writer(std::string begin = {}) : out_(std::move(begin)), size_(out_.size()) {
    out_.resize(out_.capacity());
  }

  void dictionary() { mark('d'); }
  void list() { mark('l'); }
  void end() { mark('e'); }
  void string(std::string_view bytes);
  template <std::size_t N>
  void string(const char (&literal)[N]) {
    constexpr std::size_t kSize = N - 1;
    static_assert(kSize < 100);
    char* at = room(3 + kSize);
    if constexpr (kSize >= 10) *at++ = '0' + kSize / 10;
    *at++ = '0' + kSize % 10;
    *at++ = ':';
    std::memcpy(at, literal, kSize);
    written_to(at + kSize);
  }
  void string(const IpAddress& address);
  void integer(std::int64_t value);
  // A counter; saturates at INT64_MAX.
  void integer(std::uint64_t value);

  // Key and value of a dictionary entry; `key` is a string.
  void entry(const auto& key, std::string_view value) { string(key), string(value); }
  void entry(const auto& key, const IpAddress& value) { string(key), string(value); }
  void entry(const auto& key, std::int64_t value) { string(key), integer(value); }
  void entry(const auto& key, std::uint64_t value) { string(key), integer(value); }
  void dictionary(const auto& key) { string(key), dictionary(); }
  void list(const auto& key) { string(key), list(); }

  [[nodiscard]] std::string take() && {
    out_.resize(size_);
    return std::move(out_);
  }

 private:
  // Write position with at least `bytes` of capacity.
  [[nodiscard]] char* room(std::size_t bytes) {
    if (out_.size() - size_ < bytes) grow(bytes);
    return out_.data() + size_;
  }
  void grow(std::size_t bytes);
  void written_to(const char* end) { size_ = static_cast<std::size_t>(end - out_.data()); }
  void mark(char c) {
    *room(1) = c;
    ++size_;
  }

  std::string out_;   // its size is the capacity
  std::size_t size_;  // bytes written
};

}  // namespace millrace::bencode

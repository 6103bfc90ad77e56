// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Bencode as the ng protocol uses it: byte strings, integers, lists, dictionaries.
//
// scan() walks a buffer once, without recursion or allocation, and tells where its first value
// ends; it is the one place where lengths are believed or not. A Value is a view of bytes that
// scan() found complete, so that reading one cannot leave them, and nothing is built: a list or a
// dictionary is read in order through Items. The depth of nesting is limited, a declared length is
// compared with what is left and never added to anything.
// Strict but in one respect: the keys of a dictionary need not be sorted, nor be unique, since SIP
// proxies write them in any order and twice if their script says a thing twice.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "control/protocol/extent.h"

namespace millrace::bencode {

inline constexpr unsigned kMaxDepth = 32;

// `limit`: a value that must be longer than that is malformed, however little of it is there.
[[nodiscard]] Extent scan(std::string_view buffer, std::size_t limit = SIZE_MAX);

class Value {
 public:
  enum class Kind : std::uint8_t { string, integer, list, dictionary };

  // The one value that `bytes` consist of; nothing if they are anything else.
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
  // A string's bytes, or an integer's digits: peers write numbers either way. Else nothing.
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
  // An integer, or a string that is a whole decimal number. Else nothing.
  [[nodiscard]] std::optional<std::int64_t> integer() const;

 private:
  friend class Items;
  friend class Entries;
  explicit Value(std::string_view bytes) : bytes_(bytes) {}
  // Precondition: it is one.
  [[nodiscard]] std::string_view string() const {
    std::size_t colon = 1;
    while (bytes_[colon] != ':') ++colon;
    return bytes_.substr(colon + 1);
  }
  std::string_view bytes_;  // exactly one value that scan() found complete
};

// The items of a list in order, or a dictionary's keys and values in turn; of others, nothing.
class Items {
 public:
  explicit Items(Value container);
  [[nodiscard]] std::optional<Value> next();

 private:
  std::string_view rest_;
};

// The entries of a dictionary in order; of others, nothing.
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

// Appends values in the order of the calls. Precondition of a well-formed result: what is opened
// is closed, and each value within a dictionary follows its key.
// A reply has hundreds of values, most of them literals: those are written in place.
class Writer {
 public:
  // Appends to what there is.
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
  void integer(std::int64_t value);
  // A counter; past the range of a signed number it stays at the end of it.
  void integer(std::uint64_t value);

  // Keys are texts, and so are values that are no numbers.
  void entry(const auto& key, std::string_view value) { string(key), string(value); }
  void entry(const auto& key, std::int64_t value) { string(key), integer(value); }
  void entry(const auto& key, std::uint64_t value) { string(key), integer(value); }
  void dictionary(const auto& key) { string(key), dictionary(); }
  void list(const auto& key) { string(key), list(); }

  [[nodiscard]] std::string take() && {
    out_.resize(size_);
    return std::move(out_);
  }

 private:
  // Room for so many bytes behind what is written.
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

  std::string out_;   // as long as it has room,
  std::size_t size_;  // of which so much is written
};

}  // namespace millrace::bencode

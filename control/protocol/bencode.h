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

  [[nodiscard]] Kind kind() const;
  // A string's bytes, or an integer's digits: peers write numbers either way. Else nothing.
  [[nodiscard]] std::optional<std::string_view> text() const;
  // An integer, or a string that is a whole decimal number. Else nothing.
  [[nodiscard]] std::optional<std::int64_t> integer() const;

 private:
  friend class Items;
  explicit Value(std::string_view bytes) : bytes_(bytes) {}
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
  std::optional<Items> items_;
};

// Appends values in the order of the calls. Precondition of a well-formed result: what is opened
// is closed, and each value within a dictionary follows its key.
class Writer {
 public:
  // Appends to what there is.
  explicit Writer(std::string begin = {}) : out_(std::move(begin)) {}

  void dictionary() { out_ += 'd'; }
  void list() { out_ += 'l'; }
  void end() { out_ += 'e'; }
  void string(std::string_view bytes);
  void integer(std::int64_t value);

  void entry(std::string_view key, std::string_view value) { string(key), string(value); }
  void entry(std::string_view key, std::int64_t value) { string(key), integer(value); }
  // A counter; past the range of a signed number it stays at the end of it.
  void entry(std::string_view key, std::uint64_t value);
  void dictionary(std::string_view key) { string(key), dictionary(); }
  void list(std::string_view key) { string(key), list(); }

  [[nodiscard]] std::string take() && { return std::move(out_); }

 private:
  void append(std::size_t most, auto write);

  std::string out_;
};

}  // namespace millrace::bencode

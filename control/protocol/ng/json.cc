// SPDX-License-Identifier: BSD-3-Clause
#include "control/protocol/ng/json.h"

#include <nlohmann/json.hpp>

namespace millrace::json {
namespace {

using State = Extent::State;
using Json = nlohmann::json;

// SAX handler for nlohmann's parser that writes bencode.
class Transcriber {
 public:
  bool null() { return write(std::string_view()); }
  bool boolean(bool value) { return write(value ? 1 : 0); }
  bool number_integer(Json::number_integer_t value) { return write(value); }
  bool number_unsigned(Json::number_unsigned_t value) {
    if (std::in_range<std::int64_t>(value)) return write(static_cast<std::int64_t>(value));
    return write(std::to_string(value));
  }
  bool number_float(Json::number_float_t, const Json::string_t& digits) { return write(digits); }
  bool string(Json::string_t& value) { return write(value); }
  bool key(Json::string_t& value) { return write(value); }
  bool binary(Json::binary_t&) { return false; }  // no such event in JSON text
  bool start_object(std::size_t) {
    return open([this] { out_.dictionary(); });
  }
  bool start_array(std::size_t) {
    return open([this] { out_.list(); });
  }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) {
    return false;
  }

  [[nodiscard]] bool too_deep() const { return too_deep_; }
  [[nodiscard]] std::string take() && { return std::move(out_).take(); }

 private:
  bool write(std::string_view text) {
    out_.string(text);
    return true;
  }
  bool write(std::int64_t number) {
    out_.integer(number);
    return true;
  }
  bool open(auto write_it) {
    too_deep_ = depth_ == bencode::kMaxDepth;
    if (too_deep_) return false;
    ++depth_;
    write_it();
    return true;
  }
  bool close() {
    --depth_;
    out_.end();
    return true;
  }

  bencode::Writer out_;
  unsigned depth_ = 0;
  bool too_deep_ = false;
};

void quote(std::string_view text, std::string& out) {
  out += Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// NOLINTNEXTLINE(misc-no-recursion): no deeper than a Value can be, bencode::kMaxDepth
void write(bencode::Value value, std::string& out) {
  using Kind = bencode::Value::Kind;
  switch (value.kind()) {
    case Kind::string:
      return quote(value.text().value_or(""), out);
    case Kind::integer:
      out += value.text().value_or("0");
      return;
    case Kind::list: {
      out += '[';
      bencode::Items items(value);
      for (bool first = true; const auto item = items.next(); first = false) {
        if (!first) out += ',';
        write(*item, out);
      }
      out += ']';
      return;
    }
    case Kind::dictionary: {
      out += '{';
      bencode::Entries entries(value);
      for (bool first = true; const auto entry = entries.next(); first = false) {
        if (!first) out += ',';
        quote(entry->key, out);
        out += ':';
        write(entry->value, out);
      }
      out += '}';
      return;
    }
  }
}

// Position after the closing quote of the string whose first character is at `at`; the buffer's
// size if the quote is missing.
std::size_t skip_string(std::string_view buffer, std::size_t at) {
  for (; at < buffer.size(); ++at) {
    if (buffer[at] == '"') return at + 1;
    if (buffer[at] == '\\') ++at;
  }
  return buffer.size();
}

}  // namespace

Extent scan(std::string_view buffer, std::size_t limit) {
  constexpr std::string_view kBetweenStrings = " \t\r\n,:+-.0123456789Eaeflnrstu";
  std::uint32_t objects = 0;  // one bit per open bracket, innermost lowest: 1 object, 0 array
  static_assert(bencode::kMaxDepth <= 32);
  unsigned depth = 0;
  const std::string_view seen = buffer.substr(0, limit);
  const Extent cut{seen.size() < limit ? State::incomplete : State::malformed};
  for (std::size_t at = 0; at < seen.size();) {
    const char c = seen[at++];
    if (c == '{' || c == '[') {
      if (depth == bencode::kMaxDepth || (depth == 0 && c == '[')) return {State::malformed};
      ++depth;
      objects = objects << 1 | (c == '{' ? 1U : 0U);
    } else if (depth > 0 && (c == '}' || c == ']')) {
      if (((objects & 1) != 0) != (c == '}')) return {State::malformed};
      objects >>= 1;
      if (--depth == 0) return {State::complete, at};
    } else if (depth > 0 && c == '"') {
      at = skip_string(seen, at);
    } else if (depth == 0 || kBetweenStrings.find(c) == std::string_view::npos) {
      return {State::malformed};
    }
  }
  return cut;
}

std::expected<std::string, Refusal> to_bencode(std::string_view document) {
  // nlohmann's parser ends at a NUL and ignores the bytes after it.
  if (document.find('\0') != std::string_view::npos) return std::unexpected(Refusal::syntax);
  Transcriber transcriber;
  if (!Json::sax_parse(document.begin(), document.end(), &transcriber)) {
    return std::unexpected(transcriber.too_deep() ? Refusal::too_deep : Refusal::syntax);
  }
  return std::move(transcriber).take();
}

std::string from_bencode(std::string_view value) {
  const auto read = bencode::Value::read(value);
  if (!read) return "null";
  std::string out;
  write(*read, out);
  return out;
}

}  // namespace millrace::json

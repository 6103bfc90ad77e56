// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Text helpers, and Text, an immutable string of 16 bytes (std::string: 32).
//
// Helpers: numbers, ASCII case, quoting for messages, errno, UTC time.
// Text: a call keeps about 30 strings, and a process up to a million calls. Most strings are empty
// or short, such as "RTP/AVP". Up to 15 bytes are stored in the object. A longer string is on the
// heap, without spare capacity.

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

inline constexpr std::string_view kSpace = " \t\r\n";

// A decimal number that is the whole of `text` and at most `max`; else nothing.
template <std::integral T>
[[nodiscard]] std::optional<T> decimal(std::string_view text,
                                       T max = std::numeric_limits<T>::max()) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

// ASCII only.
[[nodiscard]] constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Protocol names are ASCII and case-insensitive.
[[nodiscard]] constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// `text` in single quotes for a message: its first 64 bytes, unprintable ones as '?'.
[[nodiscard]] std::string quote(std::string_view text);

// Text of an errno value.
[[nodiscard]] std::string error_text(int error);

// "2026-01-02T03:04:05.678901Z"
[[nodiscard]] std::string utc_text(std::chrono::system_clock::time_point time);

class Text {
 public:
  Text() = default;
  // Implicit, as for std::string. Precondition: less than 4 GB.
  Text(std::string_view text) {  // NOLINT(google-explicit-constructor)
    if (text.size() <= inline_.size()) {
      inline_size_ = static_cast<std::uint8_t>(text.size());
      text.copy(inline_.data(), text.size());
      return;
    }
    inline_size_ = kOnHeap;
    set_heap({new char[text.size()], static_cast<std::uint32_t>(text.size())});
    text.copy(heap().begin, text.size());
  }
  Text(const Text& other) : Text(std::string_view(other)) {}
  Text(Text&& other) noexcept
      : inline_(other.inline_), inline_size_(std::exchange(other.inline_size_, std::uint8_t{0})) {}
  Text& operator=(const Text& other) { return *this = Text(other); }
  Text& operator=(Text&& other) noexcept {
    // Whole arrays: std::swap() would swap byte by byte.
    other.inline_ = std::exchange(inline_, other.inline_);
    other.inline_size_ = std::exchange(inline_size_, other.inline_size_);
    return *this;
  }
  ~Text() {
    if (inline_size_ == kOnHeap) delete[] heap().begin;
  }

  // Implicit, as for std::string.
  operator std::string_view() const {  // NOLINT(google-explicit-constructor)
    if (inline_size_ != kOnHeap) return {inline_.data(), inline_size_};
    return {heap().begin, heap().size};
  }
  [[nodiscard]] bool empty() const { return inline_size_ == 0; }
  friend bool operator==(const Text& text, std::string_view other) {
    return std::string_view(text) == other;
  }
  friend bool operator==(const Text& text, const Text& other) {
    return text == std::string_view(other);
  }

 private:
  struct Heap {
    char* begin;
    std::uint32_t size;
  };
  static constexpr std::uint8_t kOnHeap = 255;  // inline_ holds a Heap

  [[nodiscard]] Heap heap() const {
    Heap result{};
    std::memcpy(static_cast<void*>(&result.begin), inline_.data(), sizeof result.begin);
    std::memcpy(&result.size, inline_.data() + sizeof result.begin, sizeof result.size);
    return result;
  }
  void set_heap(const Heap& to) {
    std::memcpy(inline_.data(), static_cast<const void*>(&to.begin), sizeof to.begin);
    std::memcpy(inline_.data() + sizeof to.begin, &to.size, sizeof to.size);
  }

  std::array<char, 15> inline_{};
  std::uint8_t inline_size_ = 0;
};
static_assert(sizeof(Text) == 16);

}  // namespace millrace

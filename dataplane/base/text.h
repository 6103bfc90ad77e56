// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Texts: a small string, and helpers for names and messages.
//
// Text is a string of a call that never changes, half the size of a std::string.
// A call keeps some thirty texts, and there may be a million calls. Most are empty or as short as
// "RTP/AVP" and stand in the sixteen bytes of the object; a longer one is on the heap, without room
// to grow.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/base/net.h"

namespace millrace {

inline constexpr std::string_view kSpace = " \t\r\n";

// Protocol names are ASCII and compare without case.
[[nodiscard]] constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// `text` in single quotes for a message: printable ASCII, at most 64 bytes of it.
[[nodiscard]] std::string quote(std::string_view text);

// Text of an errno value.
[[nodiscard]] std::string error_text(int error);

// "2026-01-02T03:04:05.678901Z"
[[nodiscard]] std::string utc_text(std::chrono::system_clock::time_point time);

class Text {
 public:
  Text() = default;
  // Implicit, as for std::string. Up to 4 GB, which no message has.
  Text(std::string_view text) {  // NOLINT(google-explicit-constructor)
    if (text.size() <= near_.size()) {
      near_size_ = static_cast<std::uint8_t>(text.size());
      text.copy(near_.data(), text.size());
      return;
    }
    near_size_ = kFar;
    set_far({new char[text.size()], static_cast<std::uint32_t>(text.size())});
    text.copy(far().begin, text.size());
  }
  Text(const Text& other) : Text(std::string_view(other)) {}
  Text(Text&& other) noexcept
      : near_(other.near_), near_size_(std::exchange(other.near_size_, std::uint8_t{0})) {}
  Text& operator=(const Text& other) { return *this = Text(other); }
  Text& operator=(Text&& other) noexcept {
    // As a whole: std::swap() goes byte by byte.
    other.near_ = std::exchange(near_, other.near_);
    other.near_size_ = std::exchange(near_size_, other.near_size_);
    return *this;
  }
  ~Text() {
    if (near_size_ == kFar) delete[] far().begin;
  }

  // Implicit, as std::string's.
  operator std::string_view() const {  // NOLINT(google-explicit-constructor)
    if (near_size_ != kFar) return {near_.data(), near_size_};
    return {far().begin, far().size};
  }
  [[nodiscard]] bool empty() const { return near_size_ == 0; }
  friend bool operator==(const Text& text, std::string_view other) {
    return std::string_view(text) == other;
  }
  friend bool operator==(const Text& text, const Text& other) {
    return text == std::string_view(other);
  }

 private:
  struct Far {
    char* begin;
    std::uint32_t size;
  };
  static constexpr std::uint8_t kFar = 255;  // near_ holds a Far

  [[nodiscard]] Far far() const {
    Far result{};
    std::memcpy(static_cast<void*>(&result.begin), near_.data(), sizeof result.begin);
    std::memcpy(&result.size, near_.data() + sizeof result.begin, sizeof result.size);
    return result;
  }
  void set_far(const Far& to) {
    std::memcpy(near_.data(), static_cast<const void*>(&to.begin), sizeof to.begin);
    std::memcpy(near_.data() + sizeof to.begin, &to.size, sizeof to.size);
  }

  std::array<char, 15> near_{};
  std::uint8_t near_size_ = 0;
};
static_assert(sizeof(Text) == 16);

}  // namespace millrace

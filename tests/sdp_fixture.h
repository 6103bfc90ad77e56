// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the tests of the SDP reader and of the SDP writer share.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "control/sdp.h"

namespace millrace::sdp {

inline constexpr std::string_view kHead =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

inline std::string with_head(std::string_view rest) {
  return std::string(kHead) + std::string(rest);
}

inline IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

// A body on a heap block of exactly its size, for AddressSanitizer.
class Exact {
 public:
  explicit Exact(std::string_view text) : size_(text.size()), bytes_(new char[text.size()]) {
    std::ranges::copy(text, bytes_.get());
  }
  [[nodiscard]] std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<char[]> bytes_;
};

inline Session parsed(std::string_view body) {
  Result<Session> session = parse(body);
  EXPECT_TRUE(session) << session.error().message;
  return session ? std::move(*session) : Session{};
}

inline std::string repeat(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace millrace::sdp

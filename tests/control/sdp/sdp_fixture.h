// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared by the tests of the SDP parser and of the SDP rewriter.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "control/sdp/sdp.h"
#include "tests/exact.h"

namespace millrace::sdp {

inline constexpr std::string_view kHead =
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

inline std::string with_head(std::string_view rest) {
  return std::string(kHead) + std::string(rest);
}

inline IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

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

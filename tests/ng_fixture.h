// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The bytes that Kamailio 5.6's rtpengine module wrote to its sockets, and what was answered.

#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

namespace millrace::ng {

// tests/data/ng/NAME.bin; TEST_DATA is set by meson.
inline std::string fixture(std::string_view name) {
  const char* const data = std::getenv("TEST_DATA");
  const std::string path =
      std::string(data != nullptr ? data : "tests/data") + "/ng/" + std::string(name) + ".bin";
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("no fixture " + path + "; run from the top or set TEST_DATA");
  return {std::istreambuf_iterator<char>(file), {}};
}

struct CapturedRequest {
  std::string_view name;
  std::size_t size;  // as the capture recorded it
};
inline constexpr auto kCapturedRequests = std::to_array<CapturedRequest>({
    {"unix_ping", 17},
    {"unix_offer", 680},
    {"unix_offer_plain", 573},
    {"unix_offer_custom_keys", 660},
    {"unix_answer", 551},
    {"unix_answer_custom_keys", 549},
    {"unix_delete", 135},
    {"udp_ping", 27},
    {"udp_offer", 690},
    {"udp_answer", 561},
    {"udp_delete", 145},
});

}  // namespace millrace::ng

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The bytes that Kamailio 5.6's rtpengine module wrote to its sockets, with the replies.

#include <array>
#include <string>
#include <string_view>

#include "tests/data.h"

namespace millrace::ng {

// tests/data/ng/NAME.bin.
inline std::string fixture(std::string_view name) {
  return read_data("ng/" + std::string(name) + ".bin");
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

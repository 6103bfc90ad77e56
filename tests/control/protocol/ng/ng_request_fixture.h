// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// ng requests written by hand, and the error replies to bad ones.

#include <string>
#include <string_view>
#include <vector>

#include "control/protocol/ng/ng.h"

namespace millrace::ng {

using Strings = std::vector<std::string>;

inline std::string b(std::string_view text) { return std::to_string(text.size()) + ':' += text; }

// An offer with `more` as further entries, in bencode.
inline std::string offer(std::string_view more) {
  return "d7:command5:offer3:sdp1:x7:call-id1:c8:from-tag1:f" + std::string(more) + 'e';
}

// The error text of the reply to `message`.
inline std::string error(std::string_view message) {
  const auto parsed = parse(message);
  if (parsed) return "(accepted)";
  const std::string& reply = parsed.error();
  const std::size_t key = reply.find("12:error-reason");
  if (key == std::string::npos) return reply;
  const std::size_t colon = reply.find(':', key + 15);
  return reply.substr(colon + 1, reply.size() - colon - 2);
}

}  // namespace millrace::ng

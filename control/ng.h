// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// rtpengine's ng control protocol: bytes to Request, Reply to bytes.
//
// A message is `COOKIE SP PAYLOAD`, or the bare payload on stream sockets (what the proxy modules
// write to a UNIX socket). The payload is a bencoded dictionary ('d') or a JSON object ('{'); the
// reply has the same cookie and the same encoding. Keys need not be sorted. A stream carries no
// delimiter: a message ends where its payload ends, which frame() finds without building anything.
// Unknown commands get rtpengine's error text; unknown keys and flags are ignored and reported by
// name so that the caller can log each name once.

#include <cstdint>
#include <deque>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/request.h"

namespace millrace::ng {

enum class Encoding : std::uint8_t { bencode, json };

// Where the first message in `buffer` ends.
struct Frame {
  enum class State : std::uint8_t { incomplete, complete, malformed } state;
  std::size_t size = 0;  // bytes of the whole message, if complete
};
[[nodiscard]] Frame frame(std::string_view buffer);

struct Message {
  std::string_view cookie;  // empty: none
  Encoding encoding = Encoding::bencode;
  Request request;                   // views into the message and into `storage`
  std::deque<std::string> storage;   // strings that had to be unescaped (JSON)
  std::vector<std::string> unknown;  // keys and flags without meaning here
};

// One whole message. The error is a reply that is ready to send (rtpengine's texts), with the
// cookie found; an empty one means that nothing is to be answered (datagram without a cookie).
[[nodiscard]] std::expected<Message, std::string> parse(std::string_view message);

// One reply, cookie and space included if `cookie` is not empty.
[[nodiscard]] std::string encode(std::string_view cookie, Encoding encoding, const Reply& reply);

}  // namespace millrace::ng

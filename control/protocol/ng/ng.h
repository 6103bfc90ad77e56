// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// rtpengine's ng control protocol: bytes to Request, Reply to bytes.
//
// A message is `COOKIE SP PAYLOAD`, or the bare payload on stream sockets (what the proxy modules
// write to a UNIX socket). The payload is a bencoded dictionary ('d') or a JSON object ('{'); the
// reply has the same cookie and the same encoding. Keys need not be sorted; of a key that comes
// twice the last one counts. In names of keys and flags, space, hyphen and underscore are the
// same, and so are upper and lower case. A stream carries no delimiter: a message ends where its
// payload ends, which frame() finds without building anything.
// Unknown commands get rtpengine's error text; unknown keys and flags are ignored and reported by
// name so that the caller can log each name once. What is known, but harmless to ignore, is not
// reported.

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/command/reply.h"
#include "control/command/request.h"
#include "control/protocol/codec.h"
#include "control/protocol/ng/bencode.h"

namespace millrace::ng {

enum class Encoding : std::uint8_t { bencode, json };

// The longest message: twice what a datagram, and with it nearly every SIP message, can hold, so
// that an SDP of that size still fits when JSON escapes its line ends.
inline constexpr std::size_t kMaxMessage = std::size_t{128} * 1024;
inline constexpr std::size_t kMaxCookie = 256;

// Where the first message in `buffer` ends; white space before it belongs to it.
using Frame = Extent;
[[nodiscard]] Frame frame(std::string_view buffer);

struct Message {
  std::string_view cookie;  // empty: none
  Encoding encoding = Encoding::bencode;
  Request request;                          // views into the message, or into what follows
  std::unique_ptr<std::string> transcript;  // of a JSON message: the same in bencode
  std::unique_ptr<std::string> flags;       // of `rtpp-flags`: its keys and flags in bencode
  std::vector<std::string> unknown;         // keys and flags without meaning here, each once
};

// One whole message. The error is a reply that is ready to send (rtpengine's texts), with the
// cookie found; an empty one means that nothing is to be answered (datagram without a cookie).
[[nodiscard]] std::expected<Message, std::string> parse(std::string_view message);

// One reply, cookie and space included if `cookie` is not empty.
[[nodiscard]] std::string encode(std::string_view cookie, Encoding encoding, const Reply& reply);

// The codec's row (codec.h).
[[nodiscard]] ServeResult serve(std::string_view message, const ServeContext& context);
[[nodiscard]] std::string refuse(std::string_view input);
[[nodiscard]] std::string_view cookie(std::string_view datagram);

}  // namespace millrace::ng

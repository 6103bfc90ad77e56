// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// rtpengine's ng control protocol: bytes to Request, Reply to bytes.
//
// A message is `COOKIE SP PAYLOAD`, or the bare payload on stream sockets (the proxy modules write
// it to a UNIX socket). The payload is a bencoded dictionary ('d') or a JSON object ('{'). The
// reply has the cookie and the encoding of the request. Keys may be unsorted; the last of duplicate
// keys counts. Names of keys and flags ignore case, and space, hyphen and underscore are equal. A
// stream has no delimiter: a message ends with its payload. frame() finds that end without
// allocation. Unknown commands get rtpengine's error text. Unknown keys and flags are ignored and
// reported by name; the caller logs each name once. Known names that are safe to ignore are not
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

// Where the statistics of a call have those of its RTP sources (key ssrc-reporting): in the lists
// `ingress SSRCs`, in the dictionary `SSRC`.
enum class SsrcReporting : std::uint8_t { both, inlined, global, none };

// Bytes of a message, twice the maximum of a datagram: an SDP of datagram size (nearly every SIP
// message is smaller) still fits when JSON escapes its line ends.
inline constexpr std::size_t kMaxMessage = std::size_t{128} * 1024;
inline constexpr std::size_t kMaxCookie = 256;

// Finds the end of the first message in `buffer`. Leading white space is part of the message.
using Frame = Extent;
[[nodiscard]] Frame frame(std::string_view buffer);

struct Message {
  std::string_view cookie;  // empty: none
  Encoding encoding = Encoding::bencode;
  Request request;  // views into the message, `transcript` and `flags`
  SsrcReporting ssrcs = SsrcReporting::both;
  std::unique_ptr<std::string> transcript;  // a JSON message converted to bencode; else null
  std::unique_ptr<std::string> flags;       // `rtpp-flags` converted to bencode; null if absent
  std::vector<std::string> unknown;         // unknown keys and flags, each once
};

// Parses one whole message. The error is an encoded reply with the message's cookie and rtpengine's
// text; empty: do not reply (datagram without a cookie).
[[nodiscard]] std::expected<Message, std::string> parse(std::string_view message);

// Encodes one reply, with cookie and space unless `cookie` is empty.
[[nodiscard]] std::string encode(std::string_view cookie, Encoding encoding, const Reply& reply,
                                 SsrcReporting ssrcs = SsrcReporting::both);

// Functions of the codec table (codec.h).
[[nodiscard]] ServeResult serve(std::string_view message, const ServeContext& context);
[[nodiscard]] std::string refuse(std::string_view input);
[[nodiscard]] std::string_view cookie(std::string_view datagram);

}  // namespace millrace::ng

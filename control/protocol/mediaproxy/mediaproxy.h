// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// MediaProxy's dispatcher protocol, as the mediaproxy modules of Kamailio and OpenSIPS speak it.
//
// A request is a command line (`update`, `remove`), header lines `name: value` and an empty line;
// the reply is one line. An update tells of an SDP that passes the proxy, in a SIP request or in a
// reply to it; whether it offers or answers is for the call to know, by its CSeq. The answer is
// `ADDRESS PORT ...`, where the SDP's reader is to send, one port a stream, 0 for a rejected one;
// or `error`, upon which the module leaves the SDP as it is. Never anything else: the module
// copies the first word into the SDP.
// On the same socket the lines of MediaProxy's management port, `summary`, `sessions`, `version`,
// get a line of JSON each. Lines end in CRLF; LF alone is read, too.

#include <memory>
#include <string>
#include <string_view>

#include "control/command/reply.h"
#include "control/command/request.h"
#include "control/protocol/codec.h"
#include "control/protocol/extent.h"

namespace millrace::mediaproxy {

inline constexpr std::size_t kMaxMessage = 16384;  // twice what the modules can send
inline constexpr std::size_t kMaxStreams = 32;     // theirs, too

// Where the first message in `input` ends, which does not start with white space.
[[nodiscard]] Extent frame(std::string_view input);

struct Message {
  enum class Command : std::uint8_t { update, remove, summary, sessions, version, quit };
  Command command = Command::update;
  Request request;                        // of update, remove; views into the message
  std::unique_ptr<std::string> username;  // what Request::username views
};

// One whole message. The error says which line is wrong, and how.
[[nodiscard]] Result<Message> parse(std::string_view message);

// The reply to an update.
[[nodiscard]] std::string encode(const Reply& reply);

// JSON for people and tools (mediaproxy_report.cc).
[[nodiscard]] std::string sessions(const ServeContext& context);
[[nodiscard]] std::string summary(const ServeContext& context);

// Rows of the codec (codec.h).
[[nodiscard]] ServeResult serve(std::string_view message, const ServeContext& context);
[[nodiscard]] std::string refuse(std::string_view input);

}  // namespace millrace::mediaproxy

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// MediaProxy's dispatcher protocol, as used by the mediaproxy modules of Kamailio and OpenSIPS.
//
// A request is a command line (`update`, `remove`), header lines `name: value` and an empty line.
// The reply is one line. An update reports the media of an SDP in a SIP request or reply; the call
// distinguishes offer and answer by CSeq. The reply to it is `ADDRESS PORT ...`, the relay's
// address and one port per stream for the rewritten SDP, 0 for a rejected stream. On `error` the
// module leaves the SDP unchanged. No other text may be sent: the module copies the first word into
// the SDP. The commands of MediaProxy's management port (`summary`, `sessions`, `version`) are
// lines of their own and get a line each. The dispatcher's socket accepts them too; the management
// port accepts no others. Lines end in CRLF; LF is accepted too.

#include <memory>
#include <string>
#include <string_view>

#include "control/command/reply.h"
#include "control/command/request.h"
#include "control/protocol/codec.h"
#include "control/protocol/extent.h"

namespace millrace::mediaproxy {

inline constexpr std::size_t kMaxMessage = 16384;  // twice the modules' limit
inline constexpr std::size_t kMaxStreams = 32;     // also the modules' limit

// Finds the end of the first message in `input`. Precondition: no white space at the start.
[[nodiscard]] Extent frame(std::string_view input);
// The same on the management port: a message is a line.
[[nodiscard]] Extent frame_line(std::string_view input);

struct Message {
  enum class Command : std::uint8_t { update, remove, summary, sessions, version, quit };
  Command command = Command::update;
  Request request;                        // of update, remove; views into the message
  std::unique_ptr<std::string> username;  // viewed by request.labels.username
};

// Parses one whole message. The error has the faulty line and the remedy.
[[nodiscard]] Result<Message> parse(std::string_view message);

// Encodes the reply to an update.
[[nodiscard]] std::string encode(const Reply& reply);

// JSON replies to management commands (mediaproxy_report.cc).
[[nodiscard]] std::string sessions(const ServeContext& context);
[[nodiscard]] std::string summary(const ServeContext& context);

// Functions of the codec table (codec.h).
[[nodiscard]] ServeResult serve(std::string_view message, const ServeContext& context);
[[nodiscard]] ServeResult serve_management(std::string_view line, const ServeContext& context);
[[nodiscard]] std::string refuse(std::string_view input);

}  // namespace millrace::mediaproxy

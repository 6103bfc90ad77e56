// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Control protocols as a table of function pointers.
//
// The server moves bytes and knows no protocol: it asks frame() where a message ends and serve()
// what to send back. A codec turns bytes into a Request and the Reply into bytes. It keeps no
// state between messages and knows the calls only as a Handler.
// To add a protocol: write its functions in a folder here, add its name to ControlProtocol and to
// the configuration, and its row to codecs.cc.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "control/command/reply.h"
#include "control/command/request.h"
#include "control/config/config.h"
#include "control/protocol/extent.h"
#include "dataplane/base/net.h"

namespace millrace {

// Carries out one request. Thread-safe.
using Handler = std::function<Reply(const Request&)>;

// What a message is served with.
struct ServeContext {
  const Handler& handle;
  const Config& config;
  std::size_t max_reply = SIZE_MAX;    // bytes that the transport can carry
  std::optional<IpAddress> peer = {};  // the sender of a datagram
};

struct ServeResult {
  std::string reply;         // sent as it is, in one send(); empty: nothing is sent
  bool close = false;        // a stream ends after it
  std::string refused = {};  // why the message made no sense, for the log; empty: it did
};

struct Codec {
  // Where the first message in `input` ends; `input` does not start with white space. `first`: the
  // stream has carried no message yet.
  Extent (*frame)(std::string_view input, bool first);
  // Carries out one whole message: what frame() delimited, or a datagram.
  ServeResult (*serve)(std::string_view message, const ServeContext& context);
  // The last reply on a stream whose input is malformed by frame().
  std::string (*refuse)(std::string_view input);
  // What tells a datagram from another one, so that a retransmission gets the first one's reply;
  // empty: it is not to be answered. Null: the protocol is not spoken over UDP.
  std::string_view (*cookie)(std::string_view datagram);
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Control protocols as a table of function pointers.
//
// The server moves bytes and is protocol-agnostic. frame() finds the end of a message. serve()
// decodes it into a Request, passes that to the Handler and encodes the Reply. A codec keeps no
// state between messages and accesses calls only through the Handler.
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

// Executes one request. Thread-safe.
using Handler = std::function<Reply(const Request&)>;

// Context of serve().
struct ServeContext {
  const Handler& handle;
  const Config& config;
  std::size_t max_reply = SIZE_MAX;    // limit of the transport, in bytes
  std::optional<IpAddress> peer = {};  // the sender of a datagram
};

struct ServeResult {
  std::string reply;         // sent verbatim in one send(); empty: send nothing
  bool close = false;        // close a stream after the reply
  std::string refused = {};  // parse error, for the log; empty: none
};

struct Codec {
  // Characters that a stream may have between messages.
  std::string_view between;
  // Finds the end of the first message in `input`. Precondition: `input` does not start with a
  // character of `between`. `first`: no message of this stream has been framed yet.
  Extent (*frame)(std::string_view input, bool first);
  // Decodes, executes and answers one message: as delimited by frame(), or a whole datagram.
  ServeResult (*serve)(std::string_view message, const ServeContext& context);
  // Last reply on a stream whose input frame() found malformed.
  std::string (*refuse)(std::string_view input);
  // Transaction key of a datagram: a retransmission has the same and gets the cached reply. Empty:
  // do not reply. Null: the protocol has no UDP transport.
  std::string_view (*cookie)(std::string_view datagram);
};

}  // namespace millrace

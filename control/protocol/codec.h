// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The languages of the control sockets, each a row of functions.
//
// The server moves bytes and knows no protocol: it asks frame() where a message ends and serve()
// what to send back. A codec keeps no state between messages; what a call is lives in Calls.
// Adding a protocol: its functions in a file here, a name in ControlProtocol and in config, a row
// in codecs.cc.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "control/call/calls.h"
#include "control/protocol/extent.h"
#include "dataplane/base/net.h"

namespace millrace {

// What a message is served with.
struct Exchange {
  Calls& calls;
  Calls::Clock::time_point now;
  std::size_t max_reply;          // what the transport can carry
  std::optional<IpAddress> peer;  // who asks, if by UDP
};

struct Answer {
  std::string reply;         // sent as it is, in one send(); empty: nothing is sent
  bool close = false;        // a stream ends after it
  std::string refused = {};  // why the message made no sense, for the log; empty: it did
};

struct Codec {
  // Where the first message in `input` ends; `input` does not start with white space. `first`: the
  // stream has carried no message yet.
  Extent (*frame)(std::string_view input, bool first);
  // Carries out one whole message: what frame() delimited, or a datagram.
  Answer (*serve)(std::string_view message, const Exchange& exchange);
  // The last reply on a stream whose input is malformed by frame().
  std::string (*refuse)(std::string_view input);
  // What tells a datagram from another one, so that a retransmission gets the first one's reply;
  // empty: it is not to be answered. Null: the protocol is not spoken over UDP.
  std::string_view (*cookie)(std::string_view datagram);
};

}  // namespace millrace

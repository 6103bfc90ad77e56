// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Commands, keys and flags of rtpengine that this relay does not support.
//
// An option that changes media, keys or codecs fails its request: the error-reason has its name and
// the reason, where an "ok" would confirm a recording or a codec that the call does not get. An
// option that a call can do without is ignored, with a warning in the reply. Options for encryption
// and ICE request nothing of an SDP that has neither: sdp_edits.h decides about these
// (ConditionalOption). Options whose absence changes nothing for the parties are not listed here;
// the caller logs them as unknown. Private to the parser of requests (ng_request.h).

#include <optional>
#include <string>
#include <string_view>

#include "control/command/request.h"
#include "control/protocol/ng/bencode.h"

namespace millrace::ng {

// The error-reason; none: not an unsupported command.
[[nodiscard]] std::optional<std::string> unsupported_command(std::string_view name);

// Collects the unsupported options of one request, in the request itself.
class Unsupported {
 public:
  explicit Unsupported(Request& request) : request_(request) {}

  // False: the name is not listed.
  [[nodiscard]] bool key(std::string_view name, bencode::Value value);
  [[nodiscard]] bool flag(std::string_view name);
  // The error-reason of the first option that fails the request for every SDP; empty: none.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  Request& request_;
  std::string refusal_;
};

}  // namespace millrace::ng

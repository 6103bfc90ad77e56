// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Commands, keys and flags of rtpengine that this relay does not support.
//
// A request with one of them fails: the error-reason has its name and the reason. An "ok" would
// confirm a recording, a key or a codec that the call does not get. Flags that a call can do
// without are ignored, with a warning in the reply. Options whose absence changes nothing for the
// parties are not listed here; the caller logs them as unknown. Private to the parser of requests
// (ng_request.h).

#include <optional>
#include <string>
#include <string_view>

#include "control/protocol/ng/bencode.h"

namespace millrace::ng {

// The error-reason; none: not an unsupported name, or a key with the value `off` or `no`.
[[nodiscard]] std::optional<std::string> unsupported_command(std::string_view name);
[[nodiscard]] std::optional<std::string> unsupported_key(std::string_view name,
                                                         bencode::Value value);
// The warning for an unsupported flag that the call can do without; none: not such a flag.
[[nodiscard]] std::optional<std::string_view> degraded_flag(std::string_view name);
[[nodiscard]] std::optional<std::string> unsupported_flag(std::string_view name);

}  // namespace millrace::ng

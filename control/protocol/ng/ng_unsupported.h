// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What rtpengine does and this relay does not: asking for it is an error that names it and tells
// why, since a silent "ok" would promise what nobody does (a recording, a key, a codec). What the
// relay may leave out without breaking a promise is no matter of this, but logged as unknown.
// Private to the reader of requests (ng_request.h).

#include <optional>
#include <string>
#include <string_view>

#include "control/protocol/ng/bencode.h"

namespace millrace::ng {

// The error-reason, or nothing if there is none to give here. A key with the value off or no asks
// for nothing.
[[nodiscard]] std::optional<std::string> unsupported_command(std::string_view name);
[[nodiscard]] std::optional<std::string> unsupported_key(std::string_view name,
                                                         bencode::Value value);
// What is not done, though the call can do without: a warning. Nothing: it is no such flag.
[[nodiscard]] std::optional<std::string_view> left_undone(std::string_view flag);
[[nodiscard]] std::optional<std::string> unsupported_flag(std::string_view name);

}  // namespace millrace::ng

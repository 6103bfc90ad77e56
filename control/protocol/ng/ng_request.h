// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Converts an ng dictionary to a Request. Private to the ng codec (ng.h).
//
// Tables map commands, keys and flags to fields of Request. Some names are accepted and ignored:
// they request the default, or do not concern media. Names in ng_unsupported.h are refused or get a
// warning. All other names are ignored and added to `unknown`, also those that have an effect in
// rtpengine only.

#include <expected>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "control/command/request.h"
#include "control/protocol/ng/bencode.h"
#include "control/protocol/ng/ng.h"

namespace millrace::ng {

// The dictionary of key `rtpp-flags`, none if absent; the error: it is malformed.
using ScriptFlags = std::expected<std::optional<bencode::Value>, std::monostate>;

// Fills the request, `ssrcs` and `unknown` of `message` from `flags`, then from the message's
// `entries`, with views into the bytes of both. Error texts are rtpengine's where it has one.
[[nodiscard]] Result<void> read_request(ScriptFlags flags, std::span<const bencode::Entry> entries,
                                        Message& message);

}  // namespace millrace::ng

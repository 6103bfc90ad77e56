// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Converts an ng dictionary to a Request. Private to the ng codec (ng.h).
//
// Tables map commands, keys and flags to fields of Request. Some names are accepted and ignored:
// they request the default, or do not concern media. Names in ng_unsupported.h are refused or get a
// warning. All other names are ignored and added to `unknown`, also those that have an effect in
// rtpengine only.

#include <string>
#include <vector>

#include "control/command/request.h"
#include "control/protocol/ng/bencode.h"

namespace millrace::ng {

// Fills `request` from `flags` (a dictionary), then from `dictionary`, with views into both. Error
// texts are rtpengine's where it has one. Precondition: `dictionary` is a dictionary.
[[nodiscard]] Result<void> read_request(std::optional<bencode::Value> flags,
                                        bencode::Value dictionary, Request& request,
                                        std::vector<std::string>& unknown);

}  // namespace millrace::ng

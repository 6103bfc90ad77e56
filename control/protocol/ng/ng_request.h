// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The vocabulary of ng requests: an ng dictionary to a Request. Private to the ng codec (ng.h).
//
// Tables say which key or flag fills which field, which ones ask for nothing else than is done
// anyway, and which commands there are. Everything else is named in `unknown`, and so is what
// rtpengine would act upon and this relay does not.

#include <string>
#include <vector>

#include "control/command/request.h"
#include "control/protocol/ng/bencode.h"

namespace millrace::ng {

// Fills `request` with views into `flags`, a dictionary too, and then into the dictionary. The
// error is in rtpengine's words where it has some. Precondition: `dictionary` is one.
[[nodiscard]] Result<void> read_request(std::optional<bencode::Value> flags,
                                        bencode::Value dictionary, Request& request,
                                        std::vector<std::string>& unknown);

}  // namespace millrace::ng

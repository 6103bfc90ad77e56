// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Requested but unsupported options.
//
// The relay executes the rest of the request and warns, since a refusal would end the call. The
// warning is one log line (request-degraded) and, where the protocol has a field for it, part of
// the reply. Its sentences are joined by "; ". Each step adds the sentences for the options that it
// cannot honour: the codec, the SDP parser, the SDP printer.

#include <string>
#include <string_view>

#include "control/command/reply.h"
#include "control/command/request.h"

namespace millrace {

// Appends a sentence to a warning, unless it is empty or in the warning already.
void add_sentence(std::string& to, std::string_view more);

// Collects the warnings of the request, of the reply and `more` in the reply, and logs them. No
// effect on replies without a warning.
void report_unsupported(const Request& request, Reply& reply, std::string_view more);

}  // namespace millrace

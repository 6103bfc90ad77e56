// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Requested but unsupported options.
//
// The relay honours the rest of the request and warns: a refusal would end the call, silence would
// hide the fault. The warning is one line in the log (request-degraded) and, where the protocol has
// a place for it, in the reply; its sentences are joined by "; ". Each step adds the sentences for
// what it leaves out: the codec to the request, reading the SDP, printing the reply.

#include <string>
#include <string_view>

#include "control/command/reply.h"
#include "control/command/request.h"

namespace millrace {

// Adds one more thing that is left undone, if there is one.
void add_sentence(std::string& to, std::string_view more);

// Logs what the request and the reply say already, and `more`; the reply then says all of it. Tells
// nothing of replies that are neither an SDP nor endpoints.
void report_unsupported(const Request& request, Reply& reply, std::string_view more);

}  // namespace millrace

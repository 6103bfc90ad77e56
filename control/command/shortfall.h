// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a proxy asked for and the relay leaves undone, though it does the rest.
//
// A refusal would cost the call, silence would cost the operator an evening: so the request is
// carried out as far as it goes, and one line tells the rest, `;` between its sentences, in the log
// and, where the protocol has a place for it, in the reply. Whoever finds something left undone
// adds a sentence: the codec to the request, reading the SDP, printing the reply.

#include <string>
#include <string_view>

#include "control/command/request.h"

namespace millrace {

// Adds one more thing that is left undone, if there is one.
void add_sentence(std::string& to, std::string_view more);

// Logs what the request and the reply say already, and `more`; the reply then says all of it. Tells
// nothing of replies that are neither an SDP nor endpoints.
void tell_shortfall(const Request& request, Reply& reply, std::string_view more);

}  // namespace millrace

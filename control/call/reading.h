// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What an offer or answer says of its sections, by SDP or by their names, as one description.
//
// The edits that a proxy asks for and that decide what is offered at all come first here: codecs
// are chosen before anybody looks at them, and what is not to be relayed is taken away.

#include <optional>
#include <string>

#include "control/command/request.h"
#include "control/sdp/sdp.h"

namespace millrace {

// What comes of reading an SDP beside its sections.
struct Reading {
  std::string chosen;       // what the sections view where codecs were chosen
  std::string unsupported;  // what of the edits is left undone
};

// The error-reason if a key is missing that the command needs, or is too long to be kept.
[[nodiscard]] std::optional<std::string> refused_key(const Request& request);

// Views into `request` and `reading`, which must outlive it. Fails with the error-reason.
[[nodiscard]] Result<sdp::Session> read_sections(const Request& request, Reading& reading);

}  // namespace millrace

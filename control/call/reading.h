// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Parses a request's media description (SDP or endpoint form) into one type.
//
// Applies the requested edits that decide which media is offered, before anything else reads the
// result: chooses codecs and removes media that is not to be relayed.

#include <optional>
#include <string>

#include "control/command/request.h"
#include "control/sdp/sdp.h"

namespace millrace {

// By-products of parsing.
struct Reading {
  std::string chosen;       // storage that the result views if codecs were chosen
  std::string unsupported;  // requested edits that are not supported
};

// The error-reason if a required key is missing or too long to be stored.
[[nodiscard]] std::optional<std::string> refused_key(const Request& request);

// The result views `request` and `reading`, which must outlive it. Fails with the error-reason.
[[nodiscard]] Result<sdp::Session> read_sections(const Request& request, Reading& reading);

}  // namespace millrace

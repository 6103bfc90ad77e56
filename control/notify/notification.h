// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the relay says without being asked: events as the bytes that a proxy or a reader expects.
//
// Kamailio (module jsonrpcs) and OpenSIPS (mi_datagram) take JSON-RPC 2.0 requests, one a datagram,
// and answer with their id. rtpproxy's notification is a tag and a newline. Readers of the event
// stream get one JSON object a line; keys are kebab-case as in the ng protocol, times are RFC 3339
// in UTC. Texts come from the network: what is not UTF-8 becomes U+FFFD.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/notify/event.h"

namespace millrace::notification {

// dlg.terminate_dlg: BYE to both parties of a dialog.
[[nodiscard]] std::string kamailio(std::uint64_t id, std::string_view call_id,
                                   const event::End::Dialog& dialog);
// dlg_end_dlg, by the dialog's id or by the Call-ID, which OpenSIPS takes as well.
[[nodiscard]] std::string opensips(std::uint64_t id, std::string_view dialog);

struct Answer {
  std::uint64_t id = 0;
  std::string error;  // empty: done
};
// Nothing if it is no answer to a request of ours.
[[nodiscard]] std::optional<Answer> parse_answer(std::string_view datagram);

// Whether a text stays within one line: no line end and no NUL.
[[nodiscard]] bool is_one_line(std::string_view text);

// rtpproxy's line for a tag; nothing if it would not be one.
[[nodiscard]] std::optional<std::string> rtpproxy(std::string_view tag);

// A line of the event stream, with its newline.
[[nodiscard]] std::string line(const Event& event);

}  // namespace millrace::notification

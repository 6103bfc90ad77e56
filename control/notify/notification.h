// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Serializes events for proxies and event readers; parses the proxies' replies.
//
// Kamailio (module jsonrpcs) and OpenSIPS (mi_datagram) take JSON-RPC 2.0 requests, one per
// datagram, and reply with the same id. rtpproxy's notification is a tag and a newline. Event
// readers get one JSON object per line: keys in kebab-case as in the ng protocol, times as RFC 3339
// in UTC. Texts come from the network: bytes that are not UTF-8 become U+FFFD.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/notify/event.h"

namespace millrace::notification {

// dlg.terminate_dlg: BYE to both parties of a dialog.
[[nodiscard]] std::string kamailio(std::uint64_t id, std::string_view call_id,
                                   const event::End::Dialog& dialog);
// dlg_end_dlg, by the dialog's id or the Call-ID: OpenSIPS accepts both.
[[nodiscard]] std::string opensips(std::uint64_t id, std::string_view dialog);

struct RpcReply {
  std::uint64_t id = 0;
  std::string error;  // empty: success
};
// Unset: not a JSON-RPC reply to a request of ours.
[[nodiscard]] std::optional<RpcReply> parse_reply(std::string_view datagram);

// Whether `text` has no line end and no NUL.
[[nodiscard]] bool is_one_line(std::string_view text);

// rtpproxy's line for a tag; unset if the tag is not one line.
[[nodiscard]] std::optional<std::string> rtpproxy(std::string_view tag);

// A line of the event stream, newline included.
[[nodiscard]] std::string line(const Event& event);

}  // namespace millrace::notification

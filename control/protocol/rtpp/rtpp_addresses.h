// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Addresses in an rtpproxy command: the interfaces of the call's two sides, by letter, label or
// address (modifiers E, I, L, R of U and L), and the socket of the timeout notification.
//
// The functions parse one modifier or argument, resolve it by the configuration and store the
// result in the request. They return the error of a malformed or unknown address.

#include <optional>
#include <string_view>

#include "control/protocol/rtpp/rtpp.h"

namespace millrace::rtpp {

// Modifier E or I, the `nth` of a command, from 0. The first sets the sender's side, the second the
// other party's. Without a second one the other party's side is I. I is the interface "internal",
// else the first that is not "external". E is "external", else the first that is not I.
[[nodiscard]] std::optional<Refusal> bridge(char side, int nth, const Config& config, Request& to);

// Parse an address at the front of `rest` and remove it. Both sides get the interface with that
// address or {name} (L), or the interface with a route to that address (R).
[[nodiscard]] std::optional<Refusal> choose_local(std::string_view& rest, const Config& config,
                                                  Request& to);
[[nodiscard]] std::optional<Refusal> choose_by_remote(std::string_view& rest, const Config& config,
                                                      Request& to);

[[nodiscard]] bool is_notify_socket(std::string_view word);

// Stores `socket` and the tag to send to it. `quoted` is the URL-quoted tag; "%%CC_SELF%%" in the
// socket stands for `peer`, the sender of the command. Precondition: first call for this command.
[[nodiscard]] std::optional<Refusal> notify(Command& to, std::string_view socket,
                                            std::string_view quoted,
                                            const std::optional<IpAddress>& peer);

}  // namespace millrace::rtpp

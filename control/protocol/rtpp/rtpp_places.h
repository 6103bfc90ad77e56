// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The places that a command of rtpproxy's protocol names: the interfaces of the call's two sides,
// by a letter or an address, and the socket that is told when the call ends by itself.

#include <optional>
#include <string_view>

#include "control/protocol/rtpp/rtpp.h"

namespace millrace::rtpp {

// E or I, the `nth` of a command from 0. The first one is the side of the sender, the second one
// that of the other party. Inside is the interface of that name, else the first that is not
// "external"; outside likewise.
[[nodiscard]] std::optional<Refusal> bridge(char side, int nth, const Config& config, Request& to);

// Take an address off the front of `rest`. L: the interface with that address, or of that {name},
// serves both sides; R: the one that reaches that address.
[[nodiscard]] std::optional<Refusal> choose_local(std::string_view& rest, const Config& config,
                                                  Request& to);
[[nodiscard]] std::optional<Refusal> choose_by_remote(std::string_view& rest, const Config& config,
                                                      Request& to);

[[nodiscard]] bool is_notify_socket(std::string_view word);

// Has `socket` told `quoted`, which is URL-quoted; "%%CC_SELF%%" stands for `peer`, who asks.
// Precondition: not called before for this command.
[[nodiscard]] std::optional<Refusal> notify(Command& to, std::string_view socket,
                                            std::string_view quoted,
                                            const std::optional<IpAddress>& peer);

}  // namespace millrace::rtpp

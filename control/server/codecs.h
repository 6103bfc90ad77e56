// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which row of functions (protocol/codec.h) speaks a socket's protocol.

#include "control/config/config.h"
#include "control/protocol/codec.h"

namespace millrace {

[[nodiscard]] const Codec& codec_of(ControlProtocol protocol);

}  // namespace millrace

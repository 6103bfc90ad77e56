// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Maps a socket's protocol to its codec (protocol/codec.h).

#include "control/config/config.h"
#include "control/protocol/codec.h"

namespace millrace {

[[nodiscard]] const Codec& codec_of(ControlProtocol protocol);

}  // namespace millrace

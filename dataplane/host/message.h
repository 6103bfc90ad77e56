// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// ND requests and announcements: host_ipv6.cc writes them, the Host sends them.

#include <cstddef>

#include "dataplane/base/net.h"
#include "dataplane/host/neighbor.h"

namespace millrace {

// Writes a Neighbor Solicitation, or for an announcement an unsolicited Neighbor Advertisement.
// Returns the frame's length.
std::size_t write_solicitation(std::byte* frame, const MacAddress& own_mac,
                               const Solicitation& request);

}  // namespace millrace

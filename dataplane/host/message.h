// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What IPv6 sends of its own: written by host_ipv6.cc, sent by the Host.

#include <cstddef>

#include "dataplane/base/net.h"
#include "dataplane/host/neighbor.h"

namespace millrace {

// A Neighbor Solicitation, or the unsolicited Neighbor Advertisement of an announcement. Returns
// the frame's length.
std::size_t write_solicitation(std::byte* frame, const MacAddress& own_mac,
                               const Solicitation& request);

}  // namespace millrace

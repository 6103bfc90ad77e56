// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A datagram that is not relayed but made here: the headers in front of its payload.
//
// Ethernet, IPv4 without options or IPv6, and UDP with its checksum, which is never zero: over IPv6
// it must be there (RFC 8200 section 8.1), and over IPv4 zero would say that there is none
// (RFC 768). The packet is an atomic one (RFC 6864): no identification, don't fragment.

#include <cstddef>

#include "dataplane/base/net.h"

namespace millrace {

// Between whom a frame passes.
struct Macs {
  MacAddress from, to;
};

// `frame` holds `payload` bytes behind the headers' room (udp_headers in frame.h), and both
// endpoints are of one family. Returns the frame's length in bytes.
std::size_t write_datagram(std::byte* frame, const Macs& macs, const Endpoint& from,
                           const Endpoint& to, std::size_t payload);

}  // namespace millrace

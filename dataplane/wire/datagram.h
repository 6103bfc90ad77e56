// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Writes the headers of a datagram that the relay itself sends.
//
// Ethernet, IPv4 without options or IPv6, and UDP. The UDP checksum is never zero: IPv6 requires
// one (RFC 8200 section 8.1), and over IPv4 zero means "no checksum" (RFC 768). The packet is an
// atomic datagram (RFC 6864): identification 0, DF set.

#include <cstddef>

#include "dataplane/base/net.h"

namespace millrace {

// Source and destination MAC address of a frame.
struct Macs {
  MacAddress from, to;
};

// Preconditions: `frame` has `payload` bytes at offset udp_headers() (frame.h), and both endpoints
// are of one family. Returns the frame's length in bytes.
std::size_t write_datagram(std::byte* frame, const Macs& macs, const Endpoint& from,
                           const Endpoint& to, std::size_t payload);

}  // namespace millrace

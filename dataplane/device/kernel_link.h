// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Flags and MTU of a kernel network interface, for devices that DPDK opens by AF_PACKET or AF_XDP.
// DPDK's drivers for these report neither link state nor MTU.

#include <optional>
#include <string>

namespace millrace {

struct KernelLink {
  int flags = 0;     // IFF_UP, IFF_RUNNING ...
  unsigned mtu = 0;  // of IP packets, in bytes
};

// Nothing if this network namespace has no such interface.
[[nodiscard]] std::optional<KernelLink> kernel_link(const std::string& name);

}  // namespace millrace

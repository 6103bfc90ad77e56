// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the kernel knows of a network interface that DPDK opens by AF_PACKET or AF_XDP. DPDK's
// drivers for these report neither link state nor MTU.

#include <optional>
#include <string>

namespace millrace {

struct KernelLink {
  int flags = 0;     // IFF_UP, IFF_RUNNING ...
  unsigned mtu = 0;  // bytes of an IP packet
};

// Nothing: there is no such interface in this network namespace.
[[nodiscard]] std::optional<KernelLink> kernel_link(const std::string& name);

}  // namespace millrace

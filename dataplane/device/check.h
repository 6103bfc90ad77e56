// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Checks a configuration against the machine before EAL starts: cores, memory, devices, addresses.
//
// EAL's own failures are terse and often end the process. Nothing here touches a device: what the
// kernel knows of it (sysfs, interface flags) is read. All faults are returned, not only the first.

#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/config.h"

namespace millrace {

[[nodiscard]] std::vector<Error> check(const DataplaneConfig& config);

// Whether a PCI device bound to that kernel driver can be opened by DPDK.
[[nodiscard]] bool is_dpdk_driver(std::string_view kernel_driver);

}  // namespace millrace

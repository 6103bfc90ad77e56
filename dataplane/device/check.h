// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Checks a configuration against the machine before EAL starts: cores, memory, devices, addresses.
//
// EAL's own errors are terse, and many of them end the process. The checks read sysfs, /proc and
// interface flags, and open no device. They return all faults, not only the first.

#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/config.h"

namespace millrace {

[[nodiscard]] std::vector<Error> check(const DataplaneConfig& config);

// True if DPDK can open a PCI device bound to that kernel driver.
[[nodiscard]] bool is_dpdk_driver(std::string_view kernel_driver);

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A part of the data plane's face: which DPDK is loaded, which may be newer than the one that the
// program was built with.

#include <string_view>

namespace millrace {

// "DPDK 22.11.11"
[[nodiscard]] std::string_view dpdk_version();

}  // namespace millrace

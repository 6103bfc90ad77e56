// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Public API of the data plane: version of the loaded DPDK, which may be newer than the version
// that the program was built with.

#include <string_view>

namespace millrace {

// "DPDK 22.11.11"
[[nodiscard]] std::string_view dpdk_version();

}  // namespace millrace

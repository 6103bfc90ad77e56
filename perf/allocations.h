// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counts heap allocations per thread: linking allocations.cc replaces operator new. The count does
// not depend on the machine.

#include <cstdint>

namespace millrace::bench {

[[nodiscard]] std::uint64_t allocations();  // by this thread so far

}  // namespace millrace::bench

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counts what a thread takes from the heap: a program that links allocations.cc has its operator
// new replaced. The count does not depend on the machine.

#include <cstdint>

namespace millrace::bench {

[[nodiscard]] std::uint64_t allocations();  // by this thread so far

}  // namespace millrace::bench

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Resource usage of the relay's process from /proc: CPU time per thread, resident memory.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "dataplane/base/result.h"

namespace millrace::loadgen {

struct Usage {
  std::map<std::string, std::chrono::nanoseconds> cpu;  // by the threads' names
  std::uint64_t resident_kb = 0;

  [[nodiscard]] std::chrono::nanoseconds total() const;
  // Without DPDK's polling threads, which use a whole core at any load.
  [[nodiscard]] std::chrono::nanoseconds without_workers() const;
};

// Fails if there is no such process, or /proc denies access.
[[nodiscard]] Result<Usage> usage_of(pid_t process);

// CPU time between two readings; memory of the second one.
[[nodiscard]] Usage operator-(const Usage& end, const Usage& begin);

}  // namespace millrace::loadgen

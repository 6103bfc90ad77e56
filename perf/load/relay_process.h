// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the relay's process costs, as the kernel tells: CPU time of each of its threads and memory.

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
  // Without DPDK's polling threads, which take all of a core whether there is work or not.
  [[nodiscard]] std::chrono::nanoseconds without_workers() const;
};

// Fails if there is no such process, or it is none of ours to look at.
[[nodiscard]] Result<Usage> usage_of(pid_t process);

// What was used in between; memory as at the end.
[[nodiscard]] Usage operator-(const Usage& end, const Usage& begin);

}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Machine and date of a measurement, for the report.

#include <string>

namespace millrace::loadgen {

struct Machine {
  std::string host, cpu, kernel, date;
  unsigned cores = 0;
  std::string governor;  // of core 0; empty: unknown
  unsigned long memory_mb = 0;
};

[[nodiscard]] Machine this_machine();

}  // namespace millrace::loadgen

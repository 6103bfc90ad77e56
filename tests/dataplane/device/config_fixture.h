// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A configuration that passes check() on any machine.

#include <sched.h>

#include "dataplane/config.h"

namespace millrace {

// The lowest core of this process's affinity.
inline unsigned some_core() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof cores, &cores);
  unsigned core = 0;
  while (CPU_ISSET(core, &cores) == 0) ++core;
  return core;
}

inline DataplaneConfig valid() {
  DataplaneConfig config;
  config.worker_cores = {some_core()};
  config.main_core = some_core();
  config.interfaces.push_back({.name = "core",
                               .device = "net_null0",
                               .addresses = {Prefix{IpAddress::v4(198, 18, 0, 1), 24}}});
  return config;
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Logs NIC events: link changes, packet loss in the NIC, and at start workers on another NUMA node
// than a NIC.
//
// update(), called once a second, compares the counters with those of the last call. A device logs
// at most one line of each kind a second.

#include <vector>

#include "dataplane/report.h"

namespace millrace {

class DeviceWatch {
 public:
  // `start`: the report at start.
  explicit DeviceWatch(const DataplaneReport& start);
  // `now`: the same devices in the same order.
  void update(const std::vector<DeviceReport>& now);

 private:
  std::vector<DeviceReport> last_;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Logs what happens to the NICs: link changes, packets lost in the NIC, and at start the workers
// that are on another NUMA node.
//
// update() compares the counters with those of the last call, once a second. A device logs at most
// one line of each kind a second.

#include <vector>

#include "dataplane/report.h"

namespace millrace {

class DeviceWatch {
 public:
  // The report at start.
  explicit DeviceWatch(const DataplaneReport& start);
  // The same devices, later.
  void update(const std::vector<DeviceReport>& now);

 private:
  std::vector<DeviceReport> last_;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The public API of the data plane, used by control/.
//
// Theory of operation. Every media address owns 65,536 slots, one per UDP port. The destination
// address and port of a packet index its slot directly. The control side publishes a Path, which
// joins two local ports: packets received on side a's port are sent from side b's port to side b,
// and the reverse. The change applies to the next packet. publish, withdraw and read are loads and
// stores on shared memory, guarded by a sequence count per slot. They never wait for a worker and
// may be called from any control thread.
//
// Latching. A side latches on the first valid packet whose source address is one of its hints
// (RFC 4961, RFC 7362; see docs/adr/0003-restricted-latching.md). From then on only packets from
// the latched endpoint are forwarded. All others are dropped and counted.
//
// Its values are config.h, path.h and report.h. The folders of dataplane/ include these, never this
// header. No rte_* type appears here.

#include <memory>
#include <optional>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/config.h"
#include "dataplane/path.h"
#include "dataplane/report.h"

namespace millrace {

class Dataplane {
 public:
  // Checks a configuration against the cores, memory and devices of this machine. Starts nothing
  // and touches no device. Empty: no faults found.
  [[nodiscard]] static std::vector<Error> check(const DataplaneConfig& config);
  // Starts EAL, the ports and the workers. The error names the device or core and the remedy. At
  // most one Dataplane per process (EAL's own limit).
  [[nodiscard]] static Result<std::unique_ptr<Dataplane>> start(const DataplaneConfig& config);
  ~Dataplane();  // stops the workers, then the ports, then EAL
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  // Joins two local ports and replaces their former paths. Preconditions: both ports have the same
  // owner on the control side (the port pool leases a port once), their addresses are configured.
  void publish(const Path& path);
  // Deactivates the port and clears its statistics. The RTCP quality of a pair of ports is cleared
  // when its second port is withdrawn.
  void withdraw(LocalPort port);
  [[nodiscard]] FlowReport read(LocalPort port) const;
  // RTCP quality of the port's pair. Either port of the pair gives the same.
  [[nodiscard]] std::optional<QualityReport> read_quality(LocalPort port) const;

  [[nodiscard]] DataplaneReport report() const;
  // NIC reports only. Any control thread. Takes a lock that no worker takes.
  [[nodiscard]] std::vector<DeviceReport> devices() const;

 private:
  struct Impl;
  explicit Dataplane(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

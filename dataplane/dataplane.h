// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The face of the data plane: the one door between the control world and the packet world.
//
// Theory of operation. Every media address owns 65,536 slots, one for each UDP port; a packet's
// destination address and port index its slot directly. The control side publishes a Path, which
// joins two local ports: what arrives at side a's port leaves from side b's port towards side b,
// and the reverse. The very next packet sees it. Nothing is answered by a worker and no worker is
// waited for: publish, withdraw and read are plain loads and stores on shared memory, guarded by a
// sequence count a slot, and may be called from any control thread.
//
// Who is heard. A side is heard when a packet's source is its latched endpoint. It latches on the
// first valid packet whose source address is among the side's hints (RFC 4961, RFC 7362; see
// docs/adr/0003-restricted-latching.md). Everything else is dropped and counted.
//
// The values it is made of are config.h, path.h and report.h; rooms behind the face include these,
// never the face. DPDK stays behind this door.

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
  // What of a configuration cannot work on this machine: cores, memory, devices. Starts nothing and
  // touches no device; empty: nothing was found.
  [[nodiscard]] static std::vector<Error> check(const DataplaneConfig& config);
  // Starts EAL, the ports and the workers. Fails with a message that names the device or core and
  // the remedy. At most one Dataplane a process (EAL's own limit).
  [[nodiscard]] static Result<std::unique_ptr<Dataplane>> start(const DataplaneConfig& config);
  ~Dataplane();  // stops the workers, then the ports, then EAL
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  // Joins two local ports; replaces what they did before. Precondition: both belong to one
  // caller-side owner (the port pool hands out a port once), addresses are configured.
  void publish(const Path& path);
  // The port does nothing from now on; its statistics are gone. The RTCP quality of its pair goes
  // with the second of the two ports.
  void withdraw(LocalPort port);
  [[nodiscard]] FlowReport read(LocalPort port) const;
  // Of the pair that the port belongs to, whichever of the two its RTCP arrives at.
  [[nodiscard]] std::optional<QualityReport> read_quality(LocalPort port) const;

  [[nodiscard]] DataplaneReport report() const;
  // The NICs alone. Any control thread; takes a lock that no worker takes.
  [[nodiscard]] std::vector<DeviceReport> devices() const;

 private:
  struct Impl;
  explicit Dataplane(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

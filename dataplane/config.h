// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Start-up settings of the data plane: interfaces, cores, memory.
//
// Used by control/ and dataplane/: std and dataplane/base/ only, no rte_*.

#include <chrono>
#include <string>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace {

// A NIC port owned by the relay, with its local addresses. Interfaces with the same device text
// share the device.
struct InterfaceConfig {
  std::string name;                   // set by the operator, unique
  std::string device;                 // PCI address "0000:3b:00.0" or vdev "net_af_packet0,iface=x"
  std::vector<Prefix> addresses;      // the media addresses, with prefix length
  std::vector<IpAddress> gateways{};  // off-link next hops, at most one per family
  PeerPolicy peers{};                 // allowed media peers
  std::chrono::seconds relatch_after{5};  // silence before another stream may latch; 0 = never
};

// Limit of idle_sleep_us, in us: an RX ring of 1024 descriptors fills in about 1 ms at 1 Mpps.
inline constexpr unsigned kMaxIdleSleepUs = 1000;

struct DataplaneConfig {
  std::vector<unsigned> worker_cores;  // one polling worker each, hence one queue pair per port
  unsigned main_core = 0;              // of EAL's main thread, which handles no packets
  bool hugepages = false;
  unsigned memory_mb = 256;      // for packet buffers
  unsigned mbufs = 16384;        // packet buffers in total
  unsigned idle_sleep_us = 0;    // longest sleep of an idle worker; 0 = always poll
  std::vector<std::string> eal;  // additional EAL arguments, appended unchanged
  std::vector<InterfaceConfig> interfaces;
};

}  // namespace millrace

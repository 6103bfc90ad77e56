// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Start-up settings of the data plane: interfaces, cores, memory.
//
// A value of both worlds: std and dataplane/base/ only, no rte_*.

#include <string>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace {

// A NIC port that the relay owns, with the addresses it answers to. Interfaces that name the same
// device, in the same words, share it.
struct InterfaceConfig {
  std::string name;                   // the operator's name for it, unique
  std::string device;                 // PCI address "0000:3b:00.0" or vdev "net_af_packet0,iface=x"
  std::vector<Prefix> addresses;      // the media addresses, each with its network's length
  std::vector<IpAddress> gateways{};  // next hops for what is not on-link, one a family at most
  PeerPolicy peers{};                 // with whom media is exchanged there
};

// A ring of 1024 packets at 1 Mpps lasts this long.
inline constexpr unsigned kMaxIdleSleepUs = 1000;

struct DataplaneConfig {
  std::vector<unsigned> worker_cores;  // one polling worker, hence one queue pair a port, each
  unsigned main_core = 0;              // of EAL's main thread, which does no packets
  bool hugepages = false;
  unsigned memory_mb = 256;      // for packet buffers
  unsigned mbufs = 16384;        // packet buffers in all
  unsigned idle_sleep_us = 0;    // longest nap of a worker without packets; 0 = always poll
  std::vector<std::string> eal;  // further EAL arguments, appended as they are
  std::vector<InterfaceConfig> interfaces;
};

}  // namespace millrace

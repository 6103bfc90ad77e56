// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The phones on DPDK devices: any that the relay itself can have (memif, virtio-user, AF_XDP,
// AF_PACKET, a ring, a NIC).
//
// Both parties may share a device or have one each. There this program is an IP host, by the data
// plane's own code: it answers ARP, Neighbor Solicitations and ICMP echo for the parties' addresses
// and asks for the relay's, or for the gateway's where there is one. What is claimed before the
// relay's MAC address is known is not sent. Packets have all their checksums. The time of receipt
// is that of this program's poll.

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "perf/load/wire.h"

namespace millrace::loadgen {

struct DeviceSide {
  std::string device;  // "net_af_xdp0,iface=x", "0000:3b:00.0"
  Prefix address;      // with its network's length
  UdpPort first;       // of its ports, an even one
  std::optional<IpAddress> gateway;
};

struct DeviceWireConfig {
  std::array<DeviceSide, 2> sides;
  unsigned ports = 2;  // of RTP, a party
  bool hugepages = false;
  int cpu = -1;  // the generator's core; -1: the first
};

class DeviceWire : public Wire {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DeviceWire>> open(const DeviceWireConfig& config);
  ~DeviceWire() override;

  [[nodiscard]] std::byte* claim(const Outgoing& packet) override;
  [[nodiscard]] std::span<const Sent> flush() override;
  [[nodiscard]] std::span<const Heard> receive() override;
  [[nodiscard]] Endpoint endpoint(WirePort port) const override;
  [[nodiscard]] std::string trouble() const override;

 private:
  struct Impl;
  explicit DeviceWire(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The phones on DPDK devices: any device that the relay supports (memif, virtio-user, AF_XDP,
// AF_PACKET, net_ring, NIC).
//
// Both parties may share a device or have one each. On a device this program is an IP host, using
// the data plane's Host: it answers ARP, Neighbor Solicitations and ICMP echo for the parties'
// addresses and resolves the relay, or the gateway if there is one. Packets claimed before the
// relay's MAC address is known are not sent. All checksums are filled in. The receive time is the
// time of this program's poll.

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "perf/load/wire.h"

namespace millrace::loadgen {

struct DeviceSide {
  std::string device;  // "net_af_xdp0,iface=x", "0000:3b:00.0"
  Prefix address;      // with the prefix length of the network
  UdpPort first;       // first port, even
  std::optional<IpAddress> gateway;
};

struct DeviceWireConfig {
  std::array<DeviceSide, 2> sides;
  unsigned ports = 2;  // RTP ports per party
  bool hugepages = false;
  int cpu = -1;  // the generator's core; -1: the first
};

class DeviceWire : public Wire {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DeviceWire>> open(const DeviceWireConfig& config);
  ~DeviceWire() override;

  [[nodiscard]] std::byte* claim(const Outgoing& packet) override;
  [[nodiscard]] std::span<const Sent> flush() override;
  [[nodiscard]] std::span<const Received> receive() override;
  [[nodiscard]] Endpoint endpoint(WirePort port) const override;
  [[nodiscard]] std::string trouble() const override;

 private:
  struct Impl;
  explicit DeviceWire(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::loadgen

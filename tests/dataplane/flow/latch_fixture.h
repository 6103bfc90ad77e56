// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A path between two parties of which B is behind a NAT.

#include "tests/dataplane/packet_lab.h"

namespace millrace::test {

inline const Endpoint kAttacker{IpAddress::v4(192, 0, 2, 66), UdpPort(6666)};
inline Endpoint at_port(const Endpoint& party, std::uint16_t port) {
  return {party.address, UdpPort(port)};
}

struct Latch : testing::Test {
  PacketLab lab;
  Path path = path_ab();

  void SetUp() override {
    lab.introduce(0, IpAddress::v4(198, 18, 0, 254), kMacGateway);
    path.b.remote.reset();  // behind a NAT: its SDP address cannot be sent to
  }
  void publish(OnPublish b = OnPublish::keep, Tsc now = kStart) {
    path.b.on_publish = b;
    lab.flows.publish(path, now);
  }
  FlowReport a(Tsc now = kStart) { return lab.flows.read(kPortA, now); }
  FlowReport b(Tsc now = kStart) { return lab.flows.read(kPortB, now); }
};

}  // namespace millrace::test

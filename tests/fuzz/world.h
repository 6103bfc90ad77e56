// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The whole relay without devices, threads and real time, for the stateful fuzz target.
//
//   link 0 "core": 198.18.0.1/24, 2001:db8:a::1/64, gateways .254 and fe80::fe
//   link 1 "edge": 203.0.113.1/24, 2001:db8:b::1/64, no gateway
//
// Requests go through the codecs and the real call table. The Dataplane that the call table is
// given is world.cc's, over a real flow table with one worker's Relay and Host: packets enter by
// receive(), time passes by pass(). Ports are few (kPorts an address), so that they run out.
// After every step check() holds the invariants, whatever the bytes were:
//   ports are taken, free or resting; no active flow without a taken port; no port without a call;
//   a datagram is sent only to addresses that a request named, never to the relay's own, from ports
//   that have a flow;
//   replies are whole; a step costs little CPU. The destructor ends all calls: every port rests and
//   then is free, no flow is active, every packet buffer is back.

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/call/calls.h"
#include "control/config/config.h"
#include "dataplane/flow/flow_table.h"
#include "dataplane/host/host.h"
#include "dataplane/relay/nat_punch.h"
#include "dataplane/relay/relay.h"
#include "tests/dataplane/packets.h"

namespace millrace::fuzz {

using test::Bytes;

inline constexpr std::uint16_t kFirstPort = 30000;
inline constexpr std::uint16_t kPorts = 64;  // of each of the four addresses

// Settings chosen by the input.
struct Settings {
  std::array<Latching, 2> latching{};  // of "core" and "edge"
  std::chrono::seconds quarantine{1};
  std::uint32_t calls = 0;
};

struct Frame {
  std::size_t link = 0;
  Bytes bytes;
};

class World {
 public:
  explicit World(const Settings& settings);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // One message by a control socket; what a frame() calls malformed is refused as by a server.
  void request(ControlProtocol protocol, std::string_view message,
               const std::optional<IpAddress>& peer);
  // One frame from the wire; what the relay sent.
  std::vector<Frame> receive(std::size_t link, const Bytes& frame);
  // Time and the duties of worker and daemon that are due then.
  std::vector<Frame> pass(std::chrono::milliseconds time);
  // Fails if an invariant does not hold.
  void check();

  [[nodiscard]] std::span<const LocalPort> active() const { return active_; }
  [[nodiscard]] const Link& link(std::size_t i) const { return *links_[i]; }
  [[nodiscard]] bool is_named(const IpAddress& address) const { return named_.contains(address); }
  [[nodiscard]] static bool is_udp(const Bytes& frame);
  [[nodiscard]] Latching latching(std::size_t link) const { return settings_.latching[link]; }

 private:
  class CpuTime;

  void name_addresses(std::string_view text);
  std::vector<Frame> sent();
  void check_sent(const Frame& frame);
  [[nodiscard]] Calls::Clock::time_point clock() const;
  void expire();

  Settings settings_;
  Config config_;
  std::chrono::milliseconds time_{0};
  std::array<Link*, 2> links_;
  WorkerStats stats_;
  std::array<TxBatch, 2> tx_;
  FlowTable& flows_;
  Host host_;
  Relay relay_;
  NatPunch nat_punch_;
  std::unique_ptr<Dataplane> dataplane_;
  std::unique_ptr<Calls> calls_;
  std::vector<LocalPort> active_;
  std::set<IpAddress> named_;
  unsigned buffers_;  // free at the beginning
};

}  // namespace millrace::fuzz

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Latched flows of a relay and the packets that their parties send.
//
// Traffic owns the flow table and its link to one NIC. Flow i is a party and the local port that it
// sends to. Flows 2k and 2k+1 are one path. Packets are G.711 of 20 ms (214-byte frames with IPv4),
// or RTCP reports if the flows carry RTCP. A benchmark relays all packets in flight, then writes
// their headers back. Each packet was therefore last accessed a whole lap ago and is not in L1, as
// if received from a wire.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "dataplane/flow/flow_table.h"
#include "dataplane/host/link.h"
#include "dataplane/tsc.h"

struct rte_mbuf;

namespace millrace::perf {

inline constexpr std::size_t kInFlight = 8192;

// The families of a path's two sides.
struct Families {
  Family even = Family::ipv4;
  Family odd = Family::ipv4;
};
inline constexpr Families kIpv4{};
inline constexpr Families kIpv6{Family::ipv6, Family::ipv6};
inline constexpr Families kAcross{Family::ipv4, Family::ipv6};

struct Flow {
  Endpoint party;
  Endpoint local;
  LocalPort port;
};

struct TrafficKind {
  std::size_t flows = 1000;
  Families families = kIpv4;
  Payload payload = Payload::rtp;
  std::size_t spare_addresses = 0;  // media addresses that no flow uses
  std::size_t policy = 0;           // entries of the interface's allow and deny
};

// Flows [first, first + count) of one worker, and the generator that draws among them.
struct Share {
  std::size_t first = 0;
  std::size_t count = 0;
  std::minstd_rand random{1};
};

class Traffic {
 public:
  explicit Traffic(const TrafficKind& kind);
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;
  ~Traffic() = default;

  [[nodiscard]] std::span<Link* const> links() { return {&link_pointer_, 1}; }
  [[nodiscard]] FlowTable& table() { return *table_; }
  [[nodiscard]] Flow flow(std::size_t i) const;

  // Publishes, withdraws the path of flows `i` and `i + 1`.
  void publish(std::size_t i);
  void withdraw(std::size_t i);
  // A path of ports that no flow has, for publishing while others are relayed.
  [[nodiscard]] Path spare_path(std::size_t i) const;

  // Writes the next packet of the party of flow `i`.
  void fill(rte_mbuf& packet, std::size_t i);
  // The same to a port without a flow.
  void fill_astray(rte_mbuf& packet, std::size_t i);
  // The same from an address that is not a hint. Precondition: IPv4.
  void fill_stranger(rte_mbuf& packet, std::size_t i);
  // Writes into each packet the next one of a random flow.
  void fill(std::span<rte_mbuf* const> packets, Share& share);

 private:
  void learn_gateways();
  void latch();
  [[nodiscard]] static Side side(const Flow& flow);

  TrafficKind kind_;
  std::size_t blocks_;  // media addresses of a family, spare ones first
  Link link_;
  Link* link_pointer_ = &link_;
  std::unique_ptr<FlowTable> table_;
  // By flow. All other fields are computed from the flow's number, so that the generator uses
  // little cache.
  std::vector<std::uint16_t> sequences_;
};

}  // namespace millrace::perf

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A relay's flows, all latched, and the packets that its parties send.
//
// Traffic owns the flow table and one link a lane; a lane is a NIC with the worker that polls it.
// Flow i is a party and the local port that it sends to; flows 2k and 2k+1 are one path, and go out
// by the lane that they came in by. Packets are G.711 of 20 ms (214 bytes with IPv4), or an RTCP
// report where the flows are of RTCP. Whoever measures lets all packets in flight be relayed
// first and has their headers written back afterwards, so that each packet was last touched a whole
// lap ago, as on a wire it would not be in the first cache either.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "dataplane/flow_table.h"
#include "dataplane/link.h"
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
  std::size_t lanes = 1;
};

class Traffic {
 public:
  explicit Traffic(const TrafficKind& kind);
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  [[nodiscard]] std::span<Link* const> links() const { return link_list_; }
  [[nodiscard]] FlowTable& table() { return *table_; }
  [[nodiscard]] std::size_t flows() const { return kind_.flows; }  // of a lane
  [[nodiscard]] Flow flow(std::size_t lane, std::size_t i) const;

  // Joins flow `i` and `i + 1` of a lane; takes both away.
  void publish(std::size_t lane, std::size_t i);
  void withdraw(std::size_t lane, std::size_t i);
  // Ports of the lane that no flow has: a path for who changes flows while others are relayed.
  [[nodiscard]] Path spare_path(std::size_t lane, std::size_t i) const;

  // The packet as the party of flow `i` sends it next.
  void fill(rte_mbuf& packet, std::size_t lane, std::size_t i);
  // The same to a port where no flow is.
  void fill_astray(rte_mbuf& packet, std::size_t lane, std::size_t i);
  // Each packet becomes the next of a flow of its lane, at random.
  void fill(std::span<rte_mbuf* const> packets, std::size_t lane);

 private:
  void make_link(std::size_t lane);
  [[nodiscard]] static Side side(const Flow& flow);

  TrafficKind kind_;
  std::size_t blocks_;  // media addresses of a family on a lane
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<Link*> link_list_;
  std::unique_ptr<FlowTable> table_;
  // By lane, so that workers share nothing. Sequence numbers by flow: all else of a flow follows
  // from its number, which leaves the caches to what is measured.
  std::vector<std::vector<std::uint16_t>> sequences_;
  std::vector<std::minstd_rand> random_;
};

}  // namespace millrace::perf

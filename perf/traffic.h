// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A relay's flows, all latched, and the packets that its parties send.
//
// Traffic owns the flow table and its link to one NIC. Flow i is a party and the local port that it
// sends to; flows 2k and 2k+1 are one path. Packets are G.711 of 20 ms (214 bytes with IPv4), or an
// RTCP report where the flows are of RTCP. Whoever measures lets all packets in flight be relayed
// first and has their headers written back afterwards, so that each packet was last touched a whole
// lap ago, as on a wire it would not be in the first cache either.

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

// The flows [first, first + count) and who draws among them: what one worker is sent.
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

  // Joins flows `i` and `i + 1`; takes both away.
  void publish(std::size_t i);
  void withdraw(std::size_t i);
  // Of ports that no flow has: for who changes flows while others are relayed.
  [[nodiscard]] Path spare_path(std::size_t i) const;

  // The packet as the party of flow `i` sends it next.
  void fill(rte_mbuf& packet, std::size_t i);
  // The same to a port where no flow is.
  void fill_astray(rte_mbuf& packet, std::size_t i);
  // The same from an address that is no hint. Precondition: IPv4.
  void fill_stranger(rte_mbuf& packet, std::size_t i);
  // Each packet becomes the next of a flow at random.
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
  // By flow. All else of a flow follows from its number: the caches are left to what is measured.
  std::vector<std::uint16_t> sequences_;
};

}  // namespace millrace::perf

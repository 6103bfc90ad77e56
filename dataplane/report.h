// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters and state of the data plane: per flow, worker, NIC and next hop.
//
// Snapshots. The live counters are in dataplane/stats.h and in the flow's slot.
// Used by control/ and dataplane/: std and dataplane/base/ only, no rte_*.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace {

// Reason why a packet was neither forwarded nor answered. dataplane/stats.h generates this list,
// the counter names and the help texts from one table. Control reads the counters by index.
struct DropReasonInfo {
  std::string_view name;  // snake_case, stable: a metric label
  std::string_view help;
};

[[nodiscard]] std::span<const DropReasonInfo> drop_reasons();
// The subset that is also counted per flow.
[[nodiscard]] std::span<const DropReasonInfo> flow_drop_reasons();

// Quality of the media received by a party, at one RTCP report or on average.
struct QualitySample {
  std::uint8_t mos_tenths = 0;  // 10 to 50; 0 = unknown
  std::uint8_t loss_percent = 0;
  std::uint16_t jitter_ms = 0;
  std::chrono::microseconds round_trip{};  // between the parties: sum of both legs
  std::chrono::microseconds leg{};         // between relay and party; 0 = unknown
  std::chrono::seconds age{};
  friend bool operator==(const QualitySample&, const QualitySample&) = default;
};

// Reception quality that a side's RTCP reports give for the stream sent to it. Loss, jitter and the
// own leg come from every report. MOS, round trip, lowest and highest need the legs of both parties
// and come from the `complete` reports only.
struct QualityReport {
  std::uint32_t ssrc = 0;  // of the reported stream
  std::uint64_t samples = 0;
  std::uint64_t complete = 0;  // 0: MOS, round trip, lowest and highest are unknown
  QualitySample average, lowest, highest;
  friend bool operator==(const QualityReport&, const QualityReport&) = default;
};

// Number of flow_drop_reasons().
inline constexpr std::size_t kFlowDropReasons = 20;

// Packets received on one slot from its side since the first publish.
struct FlowReport {
  bool active = false;
  bool nat_punch = false;           // enabled, and no packet of the side was admitted yet
  std::optional<Endpoint> latched;  // source address and port of the side's packets
  std::optional<std::chrono::nanoseconds> latched_for;  // time since; unset: not latched
  std::optional<Endpoint> stranger;                     // last refused source (restricted latching)
  std::optional<Endpoint> destination;  // current destination of packets received on this port
  std::uint64_t packets = 0;            // admitted
  std::uint64_t bytes = 0;              // UDP payload of admitted packets
  std::uint64_t forwarded = 0;          // admitted and forwarded
  std::uint64_t stun = 0;               // admitted STUN (ICE checks, no media)
  std::uint64_t refused = 0;            // dropped because of the source
  std::uint64_t malformed = 0;          // dropped because of the content
  std::array<std::uint32_t, kFlowDropReasons>
      drops{};  // in the order of flow_drop_reasons(); stops at 4e9
  std::optional<std::chrono::nanoseconds>
      idle;  // time since the last admitted packet; unset = none

  // RTP only, of the current SSRC (RFC 3550 A.1, A.3):
  std::optional<std::uint32_t> ssrc;
  std::uint32_t extended_highest_sequence = 0;
  std::uint64_t expected = 0;     // over all SSRCs of the stream
  std::int64_t lost = 0;          // expected - received; negative with duplicates
  std::uint32_t jitter = 0;       // timestamp units, A.8
  std::uint8_t payload_type = 0;  // of the last RTP packet
  friend bool operator==(const FlowReport&, const FlowReport&) = default;
};

struct WorkerReport {
  unsigned core = 0;
  std::optional<unsigned> node{};              // NUMA node of the core
  std::uint64_t rx_packets = 0, rx_bytes = 0;  // frames
  std::uint64_t tx_packets = 0, tx_bytes = 0;
  std::uint64_t relayed = 0;        // forwarded media packets
  std::uint64_t relayed_bytes = 0;  // of their frames
  std::uint64_t pierced = 0;        // NAT punch packets sent (Side::nat_punch)
  std::uint64_t busy_cycles = 0, idle_cycles = 0;
  std::uint64_t cycles_per_second = 0;
  std::array<std::uint64_t, 33> bursts{};  // number of polls by packets returned
  std::vector<std::uint64_t> drops;        // by drop reason
};

// A NIC. The counters are the driver's. Packets lost in the NIC are in no worker's counters.
struct DeviceReport {
  std::string device;              // as configured
  std::optional<unsigned> node{};  // NUMA node; unset: none
  bool link_up = false;
  std::uint32_t link_mbps = 0;     // 0: unknown
  std::uint64_t link_changes = 0;  // detected at reads of the device, once per second
  std::uint64_t imissed = 0;       // packets lost because the RX ring was full
  std::uint64_t ierrors = 0;       // frames received with errors
  std::uint64_t rx_nombuf = 0;     // packets lost because no mbuf was free
  std::uint64_t oerrors = 0;       // failed transmissions
};

struct NeighborReport {
  std::string interface;
  IpAddress address;
  std::optional<MacAddress> mac;  // unset: being resolved
  std::chrono::nanoseconds age{};
};

struct DataplaneReport {
  std::vector<WorkerReport> workers;
  std::vector<DeviceReport> devices;
  std::vector<NeighborReport> neighbors;
  unsigned mbufs_free = 0, mbufs = 0;
};

}  // namespace millrace

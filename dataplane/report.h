// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters and state that the data plane reports: by flow, by worker, by next hop.
//
// Copies made at one moment; the counters themselves are dataplane/stats.h and the flow's slot.
// A value of both worlds: std and dataplane/base/ only, no rte_*.

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

// Why a packet was not forwarded or answered. dataplane/stats.h generates this list, the counter
// names and their help texts from one table; control reads them by index.
struct DropReasonInfo {
  std::string_view name;  // snake_case, stable: a metric label
  std::string_view help;
};

[[nodiscard]] std::span<const DropReasonInfo> drop_reasons();
// Those that are counted by flow too, a part of the above.
[[nodiscard]] std::span<const DropReasonInfo> flow_drop_reasons();

// One judgement of how media arrives at a party.
struct QualitySample {
  std::uint8_t mos_tenths = 0;  // 10 to 50; 0 = unknown
  std::uint8_t loss_percent = 0;
  std::uint16_t jitter_ms = 0;
  std::chrono::microseconds round_trip{};  // between the parties: both legs
  std::chrono::microseconds leg{};         // between relay and party; 0 = unknown
  std::chrono::seconds age{};
};

// What a side's RTCP reports say of the stream that it is sent. Loss, jitter and the own leg come
// from every report. MOS and round trip need the legs of both parties: only `complete` reports
// count there, and lowest and highest are among these.
struct QualityReport {
  std::uint32_t ssrc = 0;  // of that stream
  std::uint64_t samples = 0;
  std::uint64_t complete = 0;  // 0: MOS, round trip, lowest and highest are unknown
  QualitySample average, lowest, highest;
};

// How many drop reasons concern a flow: flow_drop_reasons().
inline constexpr std::size_t kFlowDropReasons = 20;

// What one slot has seen from its side, since it was first published.
struct FlowReport {
  bool active = false;
  bool nat_punch = false;           // published so, and the side has not been heard
  std::optional<Endpoint> latched;  // where the side really is
  std::optional<std::chrono::nanoseconds> latched_for;  // since when; unset: nothing was learned
  std::optional<Endpoint> stranger;     // the last source that was refused (restricted latching)
  std::optional<Endpoint> destination;  // where packets arriving at this port are sent now
  std::uint64_t packets = 0;            // admitted
  std::uint64_t bytes = 0;              // UDP payload of these
  std::uint64_t forwarded = 0;          // admitted and sent on
  std::uint64_t stun = 0;               // admitted STUN: checks of ICE, no media
  std::uint64_t refused = 0;            // dropped for their source
  std::uint64_t malformed = 0;          // dropped for their content
  std::array<std::uint32_t, kFlowDropReasons> drops{};  // by flow_drop_reasons(), up to 4e9
  std::optional<std::chrono::nanoseconds> idle;  // since the last admitted packet; unset = none yet

  // RTP only, of the current SSRC, RFC 3550 A.1 and A.3:
  std::optional<std::uint32_t> ssrc;
  std::uint32_t extended_highest_sequence = 0;
  std::uint64_t expected = 0;     // over all SSRCs of the stream
  std::int64_t lost = 0;          // expected - received; negative with duplicates
  std::uint32_t jitter = 0;       // timestamp units, A.8
  std::uint8_t payload_type = 0;  // of the last RTP packet
};

struct WorkerReport {
  unsigned core = 0;
  std::optional<unsigned> node{};              // NUMA node of the core
  std::uint64_t rx_packets = 0, rx_bytes = 0;  // frames
  std::uint64_t tx_packets = 0, tx_bytes = 0;
  std::uint64_t relayed = 0;        // media packets sent on
  std::uint64_t relayed_bytes = 0;  // frames of these
  std::uint64_t pierced = 0;  // packets of our own to who has not been heard (Side::nat_punch)
  std::uint64_t busy_cycles = 0, idle_cycles = 0;
  std::uint64_t cycles_per_second = 0;
  std::array<std::uint64_t, 33> bursts{};  // polls that returned this many packets
  std::vector<std::uint64_t> drops;        // by drop reason
};

// A NIC. Its counters are the driver's: packets lost there are in no worker's counters.
struct DeviceReport {
  std::string device;              // as configured
  std::optional<unsigned> node{};  // NUMA node; unset: it is on none
  bool link_up = false;
  std::uint32_t link_mbps = 0;     // 0: unknown
  std::uint64_t link_changes = 0;  // seen when the device was read, once a second
  std::uint64_t imissed = 0;       // received packets lost because the receive ring was full
  std::uint64_t ierrors = 0;       // received frames with errors
  std::uint64_t rx_nombuf = 0;     // received packets lost because no packet buffer was free
  std::uint64_t oerrors = 0;       // packets that could not be sent
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

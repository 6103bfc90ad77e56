// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The face of the data plane: the one door between the control world and the packet world.
//
// Theory of operation. Every media address owns 65,536 slots, one for each UDP port; a packet's
// destination address and port index its slot directly. The control side publishes a Path, which
// joins two local ports: what arrives at side a's port leaves from side b's port towards side b,
// and the reverse. The very next packet sees it. Nothing is answered by a worker and no worker is
// waited for: publish, withdraw and read are plain loads and stores on shared memory, guarded by a
// sequence count a slot, and may be called from any control thread.
//
// Who is heard. A side is heard when a packet's source is its latched endpoint. It latches on the
// first valid packet whose source address is among the side's hints (RFC 4961, RFC 7362; see
// docs/adr/0003-restricted-latching.md). Everything else is dropped and counted.
//
// Includes std and value headers only: DPDK stays behind this door.

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/net.h"

namespace millrace {

// ---- start-up ------------------------------------------------------------------------------

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

// ---- flows ---------------------------------------------------------------------------------

// A media address: its index in the order of configuration, all interfaces' addresses in a row.
enum class MediaAddressId : std::uint16_t {};

// One slot: a UDP port of a media address.
struct LocalPort {
  MediaAddressId address{};
  UdpPort port;
  friend constexpr bool operator==(const LocalPort&, const LocalPort&) = default;
};

// What a path carries, hence which packets are valid on it (RFC 7983 first-byte ranges apply to
// rtp and rtcp; STUN, DTLS and the rest pass as opaque datagrams under the same admission).
enum class Payload : std::uint8_t {
  rtp,     // RTP, and RTCP too where multiplexed
  rtcp,    // RTCP alone
  opaque,  // any datagram: udptl, DTLS/SCTP
};

enum class Latching : std::uint8_t {
  restricted,  // the source address must be a hint (default)
  open,        // any source, after a probation of 2 packets of one SSRC (RFC 3550 A.1)
  off,         // only the SDP endpoint itself is heard, nothing is learned
};

// What publishing does to a latch that the side already has.
enum class OnPublish : std::uint8_t {
  keep,    // signalling did not change this side: latch and statistics stay untouched
  reopen,  // it moved: the latched source is heard until another hinted source arrives, which
           // takes over at once (RFC 3264 section 8.3.1)
};

// What becomes of the media that a side sends; its RTCP, STUN and DTLS pass in any case.
enum class Treatment : std::uint8_t {
  forward,
  silence,  // the payload of G.711 is replaced by silence, any other media is dropped
  block,    // dropped
};

inline constexpr std::size_t kMaxHints = 8;

// One side of a path: the party that was given `local` in its SDP.
struct Side {
  LocalPort local;
  std::optional<Endpoint> remote;  // where its SDP says it listens, if that can be sent to
  std::vector<IpAddress> hints;    // addresses it may be heard from; the first kMaxHints count
  std::bitset<128> payload_types;  // RTP payload types it may latch with; none set = any
  std::uint32_t clock_hz = 8000;   // of its main codec, for jitter (RFC 3550 A.8)
  Latching latching = Latching::restricted;
  OnPublish on_publish = OnPublish::keep;
  bool deliver = true;    // false: send it nothing (held by 0.0.0.0)
  bool pierce = false;    // send it packets of the relay's own until it is heard (RTP and RTCP)
  bool handover = false;  // another hinted source may take over from a silent one, with
                          // any SSRC
  Treatment treatment = Treatment::forward;  // of what it sends
  std::bitset<128> dropped_types;            // RTP payload types of it that are dropped (DTMF)
  bool rtcp_mux = false;  // its RTCP arrives, and is sent to it, at the port of RTP (RFC 5761)
};

// Two local ports joined. A side not known yet (offer without answer) has neither hints nor
// remote: nothing is heard from it.
// RTCP has a path of its own, over the odd ports above those of RTP. It is needed unless both sides
// multiplex: then RTCP goes along with RTP. Where one side does, its RTCP is split off to that path
// and what arrives by that path is joined in; both paths are to say so.
struct Path {
  Side a;
  Side b;
  Payload payload = Payload::rtp;
  bool encrypted = false;            // SRTP (RTP/SAVP): padding and RTCP bodies cannot be checked
  std::optional<std::uint8_t> dscp;  // 0 to 63; unset = as it came
};

// ---- reports -------------------------------------------------------------------------------

// Why a packet was not forwarded or answered. dataplane/stats.h generates this list, the counter
// names and their help texts from one table; control reads them by index.
struct DropReasonInfo {
  std::string_view name;  // snake_case, stable: a metric label
  std::string_view help;
};

// One judgement of how media arrives at a party.
struct QualitySample {
  std::uint8_t mos_tenths = 0;  // 10 to 50
  std::uint8_t loss_percent = 0;
  std::uint16_t jitter_ms = 0;
  std::chrono::microseconds round_trip{};  // between the parties, as far as both legs are known
  std::chrono::microseconds leg{};         // between relay and party; 0 = unknown
  std::chrono::seconds age{};
};

// What a side's RTCP reports say of the stream that it is sent.
struct QualityReport {
  std::uint32_t ssrc = 0;  // of that stream
  std::uint64_t samples = 0;
  QualitySample average, lowest, highest;
};

// How many drop reasons concern a flow: Dataplane::flow_drop_reasons().
inline constexpr std::size_t kFlowDropReasons = 20;

// What one slot has seen from its side, since it was first published.
struct FlowReport {
  bool active = false;
  bool pierce = false;              // published so, and the side has not been heard
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
  std::optional<QualityReport> quality;          // of the side's RTCP, if there was any

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
  std::uint64_t rx_packets = 0, rx_bytes = 0;  // frames
  std::uint64_t tx_packets = 0, tx_bytes = 0;
  std::uint64_t relayed = 0;        // media packets sent on
  std::uint64_t relayed_bytes = 0;  // frames of these
  std::uint64_t pierced = 0;        // packets of our own to who has not been heard (Side::pierce)
  std::uint64_t busy_cycles = 0, idle_cycles = 0;
  std::uint64_t cycles_per_second = 0;
  std::array<std::uint64_t, 33> bursts{};  // polls that returned this many packets
  std::vector<std::uint64_t> drops;        // by drop reason
};

struct NeighborReport {
  std::string interface;
  IpAddress address;
  std::optional<MacAddress> mac;  // unset: being resolved
  std::chrono::nanoseconds age{};
};

struct DataplaneReport {
  std::vector<WorkerReport> workers;
  std::vector<NeighborReport> neighbors;
  unsigned mbufs_free = 0, mbufs = 0;
};

// ---- the door ------------------------------------------------------------------------------

class Dataplane {
 public:
  // Starts EAL, the ports and the workers. Fails with a message that names the device or core and
  // the remedy. At most one Dataplane a process (EAL's own limit).
  [[nodiscard]] static Result<std::unique_ptr<Dataplane>> start(const DataplaneConfig& config);
  ~Dataplane();  // stops the workers, then the ports, then EAL
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  // Joins two local ports; replaces what they did before. Precondition: both belong to one
  // caller-side owner (the port pool hands out a port once), addresses are configured.
  void publish(const Path& path);
  // The port does nothing from now on; its statistics are gone.
  void withdraw(LocalPort port);
  [[nodiscard]] FlowReport read(LocalPort port) const;

  [[nodiscard]] DataplaneReport report() const;
  [[nodiscard]] static std::span<const DropReasonInfo> drop_reasons();
  // Those that are counted by flow too, a part of the above.
  [[nodiscard]] static std::span<const DropReasonInfo> flow_drop_reasons();

 private:
  struct Impl;
  explicit Dataplane(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

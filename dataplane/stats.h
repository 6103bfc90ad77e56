// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters of the packet path.
//
// Every packet that is not forwarded has one drop reason. The table below generates the enum, the
// metric label and the help text, so every drop has a name. Each worker has its own WorkerStats, on
// cache lines of its own. Only that worker writes it, with relaxed stores. Control threads read it
// with relaxed loads at any time.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "dataplane/report.h"

namespace millrace {

// X(name, help). Names are metric labels and stable. Reasons from slot_busy to neighbor_table_full
// are also counted per flow.
#define MILLRACE_DROP_REASONS(X)                                                                 \
  X(multi_segment, "frame spans several buffers; raise the buffer size or lower the MTU")        \
  X(frame_truncated, "frame ends before its headers do")                                         \
  X(wrong_mac, "destination MAC is not this interface's")                                        \
  X(vlan_tagged, "802.1Q or 802.1ad tag; give the relay an untagged port or VF")                 \
  X(ethertype, "neither IPv4, IPv6 nor ARP")                                                     \
  X(ip_header, "IP version, header length or total length is wrong")                             \
  X(ip_checksum, "IPv4 header checksum is wrong")                                                \
  X(ip_options, "IPv4 header carries options")                                                   \
  X(ip_fragment, "IP fragment; media must fit the path MTU")                                     \
  X(ttl_expired, "IP time to live or hop limit used up")                                         \
  X(not_local, "destination address is not one of this interface's")                             \
  X(ip_protocol, "IP protocol is neither UDP nor ICMP")                                          \
  X(ip_extension, "IPv6 extension header")                                                       \
  X(udp_length, "UDP length does not match the IP length")                                       \
  X(udp_checksum_missing, "IPv6 datagram without a UDP checksum (RFC 8200 section 8.1)")         \
  X(arp_malformed, "ARP packet of a wrong form")                                                 \
  X(arp_not_for_us, "ARP request for another host's address")                                    \
  X(arp_unsolicited, "unsolicited ARP reply, or in conflict with an address of the relay")       \
  X(arp_consumed, "ARP reply processed; not a loss")                                             \
  X(nd_malformed, "neighbour discovery message of a wrong form, or from beyond the link")        \
  X(nd_not_for_us, "neighbour solicitation for another host's address")                          \
  X(nd_unsolicited, "unsolicited neighbour advertisement, or in conflict with the relay")        \
  X(nd_consumed, "neighbour advertisement processed; not a loss")                                \
  X(icmp_malformed, "ICMP message too short or with a wrong checksum")                           \
  X(icmp_unsupported, "ICMP message other than an echo request; never acted upon")               \
  X(icmp_rate_limited, "ICMP echo request beyond the rate the relay answers")                    \
  X(port_inactive, "no flow at the destination port")                                            \
  X(slot_busy, "flow was being rewritten for longer than a packet may wait")                     \
  X(source_invalid,                                                                              \
    "source cannot be answered: loopback, link-local, multicast, port 0 or the relay itself")    \
  X(wrong_source, "source is neither latched nor allowed to latch")                              \
  X(peer_denied, "source is not among the peers that the interface's allow and deny admit")      \
  X(payload_type, "RTP from a hinted source with a payload type that was not negotiated")        \
  X(latch_probation, "packet of a source in open-latching probation")                            \
  X(latch_contended, "two workers or a worker and signalling latched at once; next packet wins") \
  X(empty_datagram, "UDP datagram without payload: a keepalive (RFC 6263), not forwarded")       \
  X(unknown_protocol, "first byte is of no protocol allowed on a media port (RFC 7983)")         \
  X(rtp_malformed, "RTP version, CSRC list, extension or padding does not fit the datagram")     \
  X(rtcp_malformed, "RTCP version, type or length does not fit the datagram")                    \
  X(stun_malformed, "STUN length or magic cookie is wrong")                                      \
  X(no_destination, "the other side's address is not known yet")                                 \
  X(held, "the other side is on hold and receives nothing")                                      \
  X(media_blocked, "the SIP proxy has blocked the media, or silenced what is not G.711")         \
  X(dtmf_blocked, "the SIP proxy has blocked DTMF: telephone-event (RFC 4733)")                  \
  X(no_route, "destination is not on-link and the interface has no gateway")                     \
  X(mtu_exceeded, "datagram is longer than the MTU of the network it would leave by")            \
  X(neighbor_unresolved, "next hop has not answered ARP or neighbour solicitation yet")          \
  X(neighbor_table_full, "no room for another next hop on this interface")                       \
  X(hairpin_loop,                                                                                \
    "packet ran out of passes or TTL between ports of the relay: its SDPs form a ring")          \
  X(no_buffer, "no packet buffer for a packet of the relay itself (ARP, ND)")                    \
  X(pierce_full,                                                                                 \
    "no NAT punch packets for a port (pierce-NAT): too many ports wait to latch; no loss")       \
  X(tx_full, "the transmit queue did not take the packet")

enum class DropReason : std::uint8_t {
#define MILLRACE_DROP_ENUM(name, help) name,
  MILLRACE_DROP_REASONS(MILLRACE_DROP_ENUM)
#undef MILLRACE_DROP_ENUM
};

inline constexpr auto kDropReasons = std::to_array<DropReasonInfo>({
#define MILLRACE_DROP_INFO(name, help) {#name, help},
    MILLRACE_DROP_REASONS(MILLRACE_DROP_INFO)
#undef MILLRACE_DROP_INFO
});

// Drop reasons counted per flow: kFlowDropReasons from this one on.
inline constexpr std::size_t kFirstFlowReason = std::to_underlying(DropReason::slot_busy);
static_assert(std::to_underlying(DropReason::neighbor_table_full) - kFirstFlowReason + 1 ==
              kFlowDropReasons);

// Single-writer counter: add() is a relaxed load and store, without a locked instruction.
class Counter {
 public:
  void add(std::uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Relay and Host count rx, relayed and drops; the worker loop counts the rest.
struct alignas(64) WorkerStats {
  Counter rx_packets, rx_bytes;
  Counter tx_packets, tx_bytes;
  Counter relayed, relayed_bytes;
  Counter busy_cycles, idle_cycles;
  Counter pierced;
  std::array<Counter, 33> bursts;  // number of polls by packets returned
  std::array<Counter, kDropReasons.size()> drops;

  void drop(DropReason reason, std::uint64_t n = 1) { drops[std::to_underlying(reason)].add(n); }
  [[nodiscard]] std::uint64_t dropped(DropReason reason) const {
    return drops[std::to_underlying(reason)].value();
  }
};

}  // namespace millrace

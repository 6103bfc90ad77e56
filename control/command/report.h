// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Protocol-independent reports of calls and of the relay, for query, delete and statistics.
//
// Values only: filled by control/call/, printed by the codecs (control/protocol/) and notifications
// (control/notify/). A TagReport is one party, a MediaReport one m= section of it, a StreamReport
// one port of that section.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/command/moment.h"
#include "dataplane/base/net.h"
#include "dataplane/path.h"
#include "dataplane/report.h"

namespace millrace {

struct StreamReport {
  LocalPort local;
  Endpoint local_endpoint;             // as advertised
  std::optional<Endpoint> advertised;  // receive address of the party's SDP
  bool rtcp = false;
  bool rtcp_mux = false;
  FlowReport flow;
};

struct MediaReport {
  unsigned index = 1;  // of the m= line, 1-based
  Moment created;
  std::string type;  // audio, video, image, application
  std::string protocol;
  std::string codec;  // main codec, e.g. "PCMU/8000"
  std::uint32_t clock_hz = 8000;
  bool sends = true, receives = true;  // by the direction attribute; false unless live
  bool live = true;                    // PartyMedia::State::live
  std::vector<IpAddress> hints;        // the addresses from which it may latch
  bool blocked = false, silenced = false, dtmf_blocked = false;  // by command
  std::vector<StreamReport> streams;                             // the last ones if it is closed
  std::optional<Moment> closed;          // switched off after it had been answered
  std::optional<QualityReport> quality;  // from the party's RTCP; unset: none received

  // Time since the party latched; unset: not latched.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> latched_for() const {
    std::optional<std::chrono::nanoseconds> longest;
    for (const StreamReport& stream : streams) longest = std::max(longest, stream.flow.latched_for);
    return longest;
  }
  // Jitter of one of its streams in ms; FlowReport has RTP clock ticks (RFC 3550 A.8).
  [[nodiscard]] std::uint64_t jitter_ms(const FlowReport& flow) const {
    return std::uint64_t{flow.jitter} * 1000 / std::max(clock_hz, 1U);
  }
};

struct TagReport {
  std::string tag;
  std::string via_branch;
  Moment created;
  std::string peer_tag;  // empty: not answered
  std::vector<MediaReport> sections;
  std::string user_agent;
  std::string label = {};
};

struct CallReport {
  std::string call_id;
  std::string from_tag, from_uri, to_uri, username;  // of the first request
  Moment created;
  std::optional<Moment> answered;  // first
  Moment last_signal;
  std::vector<TagReport> tags;
  Moment reported;  // time of the report: FlowReport::idle ends here
  std::string metadata = {};
  // Until the relay ends it, if no packet and no request arrives; query only. Unset: no limit.
  std::optional<std::chrono::nanoseconds> left = {};
};

// Ports of unanswered offers.
struct UnansweredPorts {
  struct Source {
    std::optional<IpAddress> address;  // of the signalling, IPv6: its /64; unset: unknown
    std::uint64_t ports = 0;
  };
  std::uint64_t all = 0;
  std::vector<Source> most;  // sources by ports, descending
};

struct StatisticsReport {
  std::uint64_t sessions = 0;  // calls now
  std::uint64_t sessions_total = 0;
  std::uint64_t sessions_answered = 0;
  std::uint64_t sessions_rejected = 0;  // refused for load or ports
  std::uint64_t timeouts = 0, silent_timeouts = 0, offer_timeouts = 0, final_timeouts = 0;
  std::uint64_t deleted = 0;     // ended by the proxy
  std::uint64_t ice_direct = 0;  // ended: ICE chose a path around the relay
  std::uint64_t offers = 0, answers = 0, deletes = 0, pings = 0, queries = 0, lists = 0;
  std::uint64_t errors = 0;  // error replies
  std::uint64_t ports_used = 0, ports_free = 0;
  UnansweredPorts ports_unanswered;
  std::uint64_t packets = 0, bytes = 0, packet_errors = 0;  // relayed, dropped
  std::chrono::seconds uptime{};
  DataplaneReport dataplane;
};

struct SummaryReport {
  IpAddress address;  // the first interface's, as advertised
  bool draining = false;
  std::uint64_t sessions = 0;  // calls now
  std::chrono::seconds uptime{};
  std::map<std::string, std::uint64_t> streams;  // relayed streams by media type
  std::uint64_t bits_per_second = 0;             // sent, over Calls::kSpeedPeriod
};

}  // namespace millrace

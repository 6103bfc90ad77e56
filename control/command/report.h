// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What query, delete and statistics report of calls and of the relay, in no protocol's form.
//
// Values only, filled by control/call/ and printed by the codecs (control/protocol/) and by the
// notifications (control/notify/). A party is a tag, a media is one m= line of it, a stream is one
// of its ports.

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
  std::optional<Endpoint> advertised;  // where the party's SDP said it listens
  bool rtcp = false;
  bool rtcp_mux = false;
  FlowReport flow;
};

struct MediaReport {
  unsigned index = 1;  // 1-based, as m= lines are counted
  Moment created;
  std::string type;  // audio, video, image, application
  std::string protocol;
  std::string codec;  // main codec, e.g. "PCMU/8000"
  std::uint32_t clock_hz = 8000;
  bool sends = true, receives = true;  // by the party's direction attribute; not if it is refused
  bool live = true;                    // neither refused nor left to others
  std::vector<IpAddress> hints;        // the addresses that it may be heard from
  bool blocked = false, silenced = false, dtmf_blocked = false;  // by command
  std::vector<StreamReport> streams;
  std::optional<QualityReport> quality;  // of the party's RTCP, if there was any

  // For how long the party has been heard; nothing: not at all.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> latched_for() const {
    std::optional<std::chrono::nanoseconds> longest;
    for (const StreamReport& stream : streams) longest = std::max(longest, stream.flow.latched_for);
    return longest;
  }
  // The jitter of one of its streams, which is measured in ticks of its clock (RFC 3550 A.8).
  [[nodiscard]] std::uint64_t jitter_ms(const FlowReport& flow) const {
    return std::uint64_t{flow.jitter} * 1000 / std::max(clock_hz, 1U);
  }
};

struct TagReport {
  std::string tag;
  std::string via_branch;
  Moment created;
  std::string peer_tag;  // "" = not answered
  std::vector<MediaReport> sections;
  std::string user_agent;
  std::string label = {};
};

struct CallReport {
  std::string call_id;
  std::string from_tag, from_uri, to_uri, username;  // of the first update
  Moment created;
  std::optional<Moment> answered;  // first
  Moment last_signal;
  std::vector<TagReport> tags;
  Moment reported;  // when this was read: FlowReport::idle ends here
  std::string metadata = {};
  std::chrono::seconds media_timeout{};  // the call's own, or as configured
};

// Ports that offers hold which nobody has answered yet.
struct UnansweredPorts {
  struct Source {
    std::optional<IpAddress> address;  // of the signalling; of IPv6 its /64; none was given
    std::uint64_t ports = 0;
  };
  std::uint64_t all = 0;
  std::vector<Source> most;  // the sources that hold most, most first
};

struct StatisticsReport {
  std::uint64_t sessions = 0;  // calls now
  std::uint64_t sessions_total = 0;
  std::uint64_t sessions_rejected = 0;  // refused for load or ports
  std::uint64_t timeouts = 0, silent_timeouts = 0, offer_timeouts = 0, final_timeouts = 0;
  std::uint64_t deleted = 0;     // ended by the proxy
  std::uint64_t ice_direct = 0;  // ended for ICE found a way around the relay
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
  std::map<std::string, std::uint64_t> streams;  // that are relayed, by media type
  std::uint64_t bits_per_second = 0;             // sent, over Calls::kSpeedPeriod
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a SIP proxy asks of the relay, and what it is told: the common tongue of the control side.
//
// Each proxy protocol is a codec that turns bytes into a Request and a Reply into bytes; what a
// call is, and what a request does to it, lives behind these types alone (calls.h). A Request
// holds views into the bytes that it was parsed from: they must outlive it. A Reply owns its text.

#include <algorithm>
#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/command/edits.h"
#include "control/command/moment.h"
#include "dataplane/base/net.h"
#include "dataplane/path.h"
#include "dataplane/report.h"

namespace millrace {

enum class Command : std::uint8_t {
  ping,
  offer,
  answer,
  update,  // an offer or an answer, whichever it is by its CSeq
  remove,
  query,
  list,
  statistics,
  summary,
  block_media,
  unblock_media,
  silence_media,
  unsilence_media,
  block_dtmf,
  unblock_dtmf,
};
inline constexpr std::size_t kCommands = 15;

// As the log tells them.
inline constexpr std::array<std::string_view, kCommands> kCommandNames = {
    "ping",          "offer",         "answer",          "update",     "delete",
    "query",         "list",          "statistics",      "summary",    "block-media",
    "unblock-media", "silence-media", "unsilence-media", "block-dtmf", "unblock-dtmf"};

[[nodiscard]] constexpr std::string_view name(Command command) {
  return kCommandNames.at(static_cast<std::size_t>(command));
}

inline constexpr unsigned kFinalResponse = 200;  // SIP response codes below are provisional

// What becomes of ICE. The relay is no ICE agent: it cannot speak ICE for a party that does not.
enum class IceHandling : std::uint8_t {
  add,         // where a party has ICE, the relay is one more candidate
  force,       // the same, and the proxy is told where a party has none
  relay_only,  // the relay is the only candidate
  remove,
};

// How a request of rtpproxy's holds a media, or lets go of it: it ends when nobody holds it. A
// list that is asked for with it names only calls that are held.
enum class Hold : std::uint8_t {
  none,    // other protocols: they hold nothing, and end what others hold
  strong,  // once for both parties: taken by any offer, let go of by any remove
  weak,    // by each party: taken by its offer or answer, let go of by a remove that names the
           // other party first
};

// A media as a protocol names it that keeps the SDP to itself (rtpproxy, MediaProxy).
struct NamedMedia {
  unsigned index = 1;                  // 1-based, as m= lines are counted
  std::string_view type = "audio";     // as in m=
  std::string_view protocol;           // not told: by its type, and it may be encrypted
  Endpoint endpoint;                   // where the party listens, by its SDP; port 0 = rejected
  std::bitset<128> payload_types;      // none: not told
  bool sends = true, receives = true;  // by its direction attribute
  bool ice = false;
};

// Bytes of a Call-ID, a tag, a branch and whatever else a call keeps whole.
inline constexpr std::size_t kMaxName = 1024;
inline constexpr std::size_t kMaxLabel = 128;  // bytes kept of what only reports show

struct Request {
  Command command = Command::ping;
  std::string_view call_id;
  std::string_view from_tag;
  std::string_view to_tag;
  std::string_view via_branch;
  std::string_view sdp;                    // offer, answer: this,
  std::vector<NamedMedia> medias;          // or these; one that is not named: see all_medias
  std::optional<IpAddress> received_from;  // where the SIP message came from: a latch hint

  std::string_view from_interface;      // direction[0]: the sender's side
  std::string_view to_interface;        // direction[1]: the receiver's side
  std::optional<IpAddress> from_local;  // the same by an address, if that is one of ours
  std::optional<IpAddress> to_local;
  std::optional<Family> address_family;    // of the receiver's side, if no interface is named
  std::optional<IpAddress> media_address;  // printed in place of the interface's own
  std::optional<std::uint8_t> dscp;        // from TOS
  std::optional<std::chrono::seconds> delete_delay;
  std::optional<std::chrono::seconds> media_timeout;  // of this call, in place of the configured
  std::optional<unsigned> media;                      // remove: only this one, 1-based
  sdp::Edits edits;                                   // what is to be done to the SDP besides
  std::string unsupported;  // offer, answer: what of it is left undone, whatever the SDP says

  // Of the SIP message that the request comes from. With update the tags are those of the SIP
  // request, also in a reply to it.
  std::string_view from_uri, to_uri;  // for reports; cut at kMaxLabel
  std::string_view user_agent;        // the sender's
  std::string_view username;          // of the account that the call goes on
  std::string_view label;             // names the sender of an SDP; block, ...: the party meant
  std::optional<IpAddress> address;   // block, ...: the party whose SDP names it
  std::string_view metadata;          // of the call, told in its reports

  // Whom to tell that the call ended by itself; kept until another offer or answer says more.
  // rtpproxy's notification: "tcp:192.0.2.1:9000" or "unix:/path" gets the tag and a newline.
  std::string_view notify_socket;
  std::string_view notify_tag;
  std::string_view dialog_id;  // how the proxy's dialog module calls it

  std::uint32_t limit = 32;  // list: how many call-ids
  std::uint32_t cseq = 0;    // update: of the SIP message
  unsigned sip_code = 0;     // of the reply that brings an answer; 0 = not told

  Hold hold = Hold::none;
  IceHandling ice = IceHandling::add;
  bool prefer_relay = false;          // its candidate comes before all others, else after them
  bool by_reply = false;              // update: of the SIP reply
  bool all_medias = false;            // what is not in `medias` is removed, else stays as it is
  bool supports_load_limit = false;   // a refusal for load may be the result "load limit"
  bool sip_source_address = false;    // the media address is received_from, not the SDP's
  bool asymmetric = false;            // learn nothing, send to the SDP's address
  bool replace_origin = false;        // o= address
  bool replace_session_name = false;  // s=
  bool match_to_tag = false;          // delete: the to-tag counts too (flag `to-tag`)
  bool fatal = false;                 // delete: a miss is an error, not a warning
  bool fast = false;                  // delete: no statistics in the reply
  bool fragment = false;              // offer, answer: `sdp` is but candidates that come later
  bool provisional = false;           // answer: not the last one of this party
  bool media_handover = false;        // another of the sender's addresses may take over
  bool nat_wait = false;              // the sender is sent nothing until it is heard
  bool pierce_nat = false;            // the sender is sent packets of our own until it is heard
  bool reset = false;                 // what was learned of the sender counts no more
  bool all = false;                   // block, ...: all parties
  bool new_branch = false;            // answer: of another party than who has answered
};

// ---- what query, delete and statistics tell -------------------------------------------------

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
  [[nodiscard]] std::optional<std::chrono::nanoseconds> heard_for() const {
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
  std::vector<MediaReport> medias;
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

// ---- replies --------------------------------------------------------------------------------

// Reasons of a Failure that codecs tell apart.
namespace reason {
inline constexpr std::string_view kOutOfPorts = "Ran out of ports";
inline constexpr std::string_view kUnknownCall = "Unknown call-id";
inline constexpr std::string_view kNoDialog = "Invalid dialogue association";
}  // namespace reason

namespace reply {
struct Pong {};
struct Done {  // what was asked for has been done, and there is nothing more to tell
  std::string warning = {};
};
struct Sdp {
  std::string body;
  std::string warning = {};  // what could not be done as asked
};  // offer, answer
// Offer, answer without SDP: where media is to be sent, as printed in SDP, in the order of
// Request::medias; port 0 = rejected.
struct Endpoints {
  std::vector<Endpoint> endpoints;
  std::string warning = {};  // for the log: these protocols have no place for it
};
struct Query {
  CallReport call;
};
struct Deleted {
  std::optional<CallReport> call;
  std::string warning;
};
struct List {
  std::vector<std::string> call_ids;
};
struct Statistics {
  StatisticsReport report;
};
struct Summary {
  SummaryReport report;
};
struct Failure {
  std::string reason;
};  // exact texts: the modules act on some
struct LoadLimit {
  std::string message;
  bool draining = false;  // no new calls until the relay is started again
};
}  // namespace reply

using Reply = std::variant<reply::Pong, reply::Done, reply::Sdp, reply::Endpoints, reply::Query,
                           reply::Deleted, reply::List, reply::Statistics, reply::Summary,
                           reply::Failure, reply::LoadLimit>;

}  // namespace millrace

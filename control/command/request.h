// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Protocol-independent requests of a SIP proxy.
//
// Each proxy protocol is a codec that parses bytes to a Request and prints a Reply (reply.h).
// control/call/ uses only these types and no protocol. The fields are grouped by subject; a codec
// leaves fields that its protocol lacks at their defaults. A Request holds views into the bytes
// that it was parsed from, which must outlive it.

#include <array>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/command/edits.h"
#include "dataplane/base/net.h"

namespace millrace {

enum class Command : std::uint8_t {
  ping,
  offer,
  answer,
  update,  // an offer or an answer, depending on its CSeq
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

// As printed in the log.
inline constexpr std::array<std::string_view, kCommands> kCommandNames = {
    "ping",          "offer",         "answer",          "update",     "delete",
    "query",         "list",          "statistics",      "summary",    "block-media",
    "unblock-media", "silence-media", "unsilence-media", "block-dtmf", "unblock-dtmf"};

[[nodiscard]] constexpr std::string_view name(Command command) {
  return kCommandNames.at(static_cast<std::size_t>(command));
}

inline constexpr unsigned kFinalResponse = 200;  // SIP response codes below are provisional

// rtpproxy's claim on a stream: the stream ends with its last claim. A `list` with a claim returns
// claimed calls only.
enum class Claim : std::uint8_t {
  none,    // other protocols: no claim, and a remove ignores claims
  strong,  // one for both parties: made by any offer, dropped by any remove
  weak,    // one per party: made by its offer or answer, dropped by a remove that names the other
           // party first
};

// One stream in a request without SDP (rtpproxy, MediaProxy).
struct NamedMedia {
  unsigned index = 1;                  // of the m= line, 1-based
  std::string_view type = "audio";     // as in m=
  std::string_view protocol;           // empty: by `type`, possibly encrypted
  Endpoint endpoint;                   // where the party receives, by its SDP; port 0 = rejected
  std::bitset<128> payload_types;      // empty: unknown
  bool sends = true, receives = true;  // by its direction attribute
  bool ice = false;
  bool host = false;  // a host name, for which the address of `endpoint` stands; 0.0.0.0 if none
};

// Interfaces and addresses of the two sides. An interface is chosen by name, else by a peer that it
// reaches, else by local address if it is a media address, else by family.
struct Placement {
  std::string_view from_interface;  // side of the sender: direction[0]
  std::string_view to_interface;    // side of the receiver: direction[1]
  std::optional<IpAddress> from_peer, to_peer;
  std::optional<IpAddress> from_local;
  std::optional<IpAddress> to_local;
  std::optional<Family> address_family;    // of the receiver's side
  std::optional<IpAddress> media_address;  // printed in place of the interface's own
  bool by_answer = false;  // a first answer moves its receiver, whose ports nobody knows yet
};

// Which sources are accepted for the sender's media, and where media to it is sent.
struct LatchOptions {
  std::optional<IpAddress> received_from;  // source of the SIP message: a latch hint
  bool sip_source_address = false;         // the media address is received_from, if given
  bool asymmetric = false;                 // always send to the SDP's address
  bool strict_source = false;              // only signalling moves a latch; asymmetric: none at all
  bool media_handover = false;             // may relatch to another address of the sender
  bool nat_wait = false;                   // send nothing to the sender before its first packet
  bool nat_punch = false;                  // send punch packets to the sender before its first
  bool reset = false;                      // forget the latched address of the sender

  // The address that replaces those of the SDP; none: they are used.
  [[nodiscard]] std::optional<IpAddress> replacement() const {
    return sip_source_address ? received_from : std::nullopt;
  }
};

// Bytes of a Call-ID, a tag, a branch and other identifiers that are kept whole.
inline constexpr std::size_t kMaxName = 1024;
inline constexpr std::size_t kMaxLabel = 128;  // bytes of texts for reports, cut beyond

// Texts for reports and to select a party; no effect on media.
struct Labels {
  std::string_view from_uri, to_uri;  // cut at kMaxLabel
  std::string_view user_agent;        // the sender's
  std::string_view username;          // account billed for the call
  std::string_view label;             // SDP: of its sender; block, ...: selects a party
  std::string_view metadata;          // of the call
};

// The SIP message that caused the request. With update the tags are those of the SIP request, also
// for a SIP reply.
struct SipMessage {
  std::uint32_t cseq = 0;    // update
  unsigned code = 0;         // of the SIP reply with the answer; 0 = unknown
  bool by_reply = false;     // update: the SDP is from a SIP reply
  bool provisional = false;  // answer: not final (early media)

  [[nodiscard]] bool is_provisional() const {
    return provisional || (code != 0 && code < kFinalResponse);
  }
};

// Where to notify when the relay ends the call; replaced by a later offer or answer with a target.
struct NotifyTarget {
  std::string_view socket;     // rtpproxy: "tcp:192.0.2.1:9000" or "unix:/path"
  std::string_view tag;        // line to send to it
  std::string_view dialog_id;  // of the proxy's dialog module
};

// Options of delete.
struct Removal {
  std::optional<std::chrono::seconds> delay;
  std::optional<unsigned> media;  // only this m= line, 1-based
  bool match_to_tag = false;      // match the to-tag too (flag `to-tag`)
  bool fatal = false;             // an unknown call is an error, not a warning
  bool fast = false;              // no statistics in the reply
};

// Party of block, silence, ... commands, unless from_tag or Labels::label selects it.
struct BlockTarget {
  std::optional<IpAddress> address;  // of its SDP
  bool all_parties = false;
};

struct Request {
  Command command = Command::ping;
  std::string_view call_id;
  std::string_view from_tag;
  std::string_view to_tag;
  std::string_view via_branch;

  std::string_view sdp;              // offer, answer: this,
  std::vector<NamedMedia> sections;  // or these
  bool all_sections = false;         // `sections` is complete: remove the others; false: keep them
  bool fragment = false;             // `sdp` has only further candidates (trickle ICE)
  bool new_branch = false;           // answer: from another party than the earlier one
  Claim claim = Claim::none;
  bool new_ports = false;  // offer, answer: the receiver gets other ports for `sections`
  sdp::Edits edits;
  std::string unsupported;  // requested options that are unsupported for any SDP

  Placement placement;
  LatchOptions latching;
  SipMessage sip;
  Labels labels;
  NotifyTarget notify;
  Removal removal;
  BlockTarget target;

  std::optional<std::uint8_t> dscp;                   // from TOS
  std::optional<std::chrono::seconds> media_timeout;  // of this call; overrides the configured one
  std::uint32_t list_limit = 32;                      // list: number of call-ids
  bool supports_load_limit = false;                   // the client accepts the result "load limit"
};

}  // namespace millrace

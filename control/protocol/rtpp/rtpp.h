// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// rtpproxy's control protocol: one line of words in, one short line out.
//
// A command is `VERB[modifiers] argument ...`, in upper or lower case. It has no SDP but describes
// one media section: U (update) is the offer of party `from_tag`, L (lookup) the answer of
// `to_tag`; the reply to both is a port. `;N` after a tag is the number of the section, `;BRANCH`
// after a call-id the via-branch. Sub-commands follow after `&&`. Errors are rtpproxy's numbers,
// which proxies log.
//
// Framing depends on the transport. A datagram starts with a cookie, which the reply repeats. On a
// stream a newline ends a command. A proxy module writes to its `unix:` socket without newline: if
// the first bytes of a connection have none, they are one command, and the connection is closed
// after the reply. The modules read a reply with one read() of at most 255 bytes.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/command/reply.h"
#include "control/command/report.h"
#include "control/command/request.h"
#include "control/config/config.h"
#include "control/protocol/codec.h"

namespace millrace::rtpp {

inline constexpr std::size_t kMaxCommand = 8192;
inline constexpr std::size_t kMaxCookie = 128;
inline constexpr std::size_t kMaxReply = 255;  // with the cookie; no limit for I and G

// The error numbers.
enum class Refusal : std::uint8_t {
  unknown_command = 0,
  argument_count = 1,
  modifiers = 2,  // the verb takes none
  subcommand = 3,
  empty = 5,
  record_suffix = 6,  // after modifier S of R
  record_modifier = 7,
  delete_modifier = 8,
  statistics_modifier = 9,
  tag_encoding = 10,
  external = 11,  // E without a second interface
  internal = 12,
  packet_time = 13,
  codecs = 14,
  local_address = 15,
  remote_address = 16,
  play_count = 17,
  info_modifier = 18,
  query_modifier = 19,
  reply_too_big = 26,
  unknown_local = 31,
  unresolved_remote = 32,
  no_local_for_remote = 33,
  unknown_modifier = 35,
  invalid_address = 37,
  unknown_session = 50,
  player = 60,
  query = 62,
  copy = 65,
  statistics = 68,
  no_ports = 72,
  overload = 98,
  draining = 99,
};

enum class Verb : std::uint8_t {
  version,
  feature,
  update,
  lookup,
  remove,
  query,
  info,
  statistics,
  remove_all,
  play,
  stop_play,
  record,
  stop_record,
  copy,
  set,  // sub-command S; its value is stored in the request of the main command
};

struct Command {
  Verb verb = Verb::version;
  Request request;                      // of verbs with a call-id; views the command or `owned`
  std::optional<unsigned> media;        // section number of the first tag
  std::vector<std::string_view> names;  // query, statistics: counters; feature: its date
  bool verbose = false;                 // query, statistics: print names
  bool brief = false, load = false;     // info
  std::vector<Command> then;            // sub-commands: remove, lookup, copy, set
  std::vector<std::string> owned;       // strings after URL decoding
};

// Finds the end of the first command in `input` (codec.h).
[[nodiscard]] Extent frame(std::string_view input, bool first);

// Parses one command without its cookie. `peer`: its source address, if by UDP.
[[nodiscard]] std::expected<Command, Refusal> parse(std::string_view text, const Config& config,
                                                    const std::optional<IpAddress>& peer);

// Support of a protocol extension, by rtpproxy's date (command VF).
[[nodiscard]] bool has_feature(std::string_view date);

// Encode a reply, without cookie and newline.
[[nodiscard]] std::string print(Refusal refusal);
[[nodiscard]] std::string print_port(const Reply& reply, const Command& command);
[[nodiscard]] std::expected<std::string, Refusal> print_query(const Command& command,
                                                              const CallReport& call);
[[nodiscard]] std::string print_info(const Command& command, const StatisticsReport& report,
                                     const std::vector<std::string>& call_ids);
[[nodiscard]] std::expected<std::string, Refusal> print_statistics(const Command& command,
                                                                   const StatisticsReport& report);

// Functions of the codec table (codec.h).
[[nodiscard]] ServeResult serve(std::string_view message, const ServeContext& context);
[[nodiscard]] std::string refuse(std::string_view input);
[[nodiscard]] std::string_view cookie(std::string_view datagram);

}  // namespace millrace::rtpp

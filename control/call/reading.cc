// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/reading.h"

#include <array>
#include <utility>

#include "control/command/unsupported.h"
#include "control/sdp/named_media.h"
#include "control/sdp/sdp_edits.h"

namespace millrace {

namespace {

// A call stores these for its lifetime, and it may have many tags.
std::optional<std::string> too_long(const Request& request) {
  const std::array names = std::to_array<std::pair<std::string_view, std::string_view>>(
      {{"call-id", request.call_id},
       {"from-tag", request.from_tag},
       {"to-tag", request.to_tag},
       {"via-branch", request.via_branch},
       {"label", request.labels.label},
       {"notification socket", request.notify.socket},
       {"notification tag", request.notify.tag},
       {"dialog id", request.notify.dialog_id}});
  for (const auto& [name, value] : names) {
    if (value.size() <= kMaxName) continue;
    return "The " + std::string(name) + " has " + std::to_string(value.size()) +
           " bytes; the limit is " + std::to_string(kMaxName);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> refused_key(const Request& request) {
  const Command command = request.command;
  const bool has_sdp = command == Command::offer || command == Command::answer;
  const bool sets_up = has_sdp || command == Command::update;
  const bool of_all = command == Command::ping || command == Command::list ||
                      command == Command::statistics || command == Command::summary;
  if (has_sdp && request.sdp.empty() && request.sections.empty()) return "No SDP body in message";
  if (!of_all && request.call_id.empty()) return "No call-id in message";
  if (sets_up && request.from_tag.empty()) return "No from-tag in message";
  // rtpproxy's L may come without it.
  const bool needs_to_tag = command == Command::answer && request.claim == Claim::none;
  if (needs_to_tag && request.to_tag.empty()) return "No to-tag in message";
  if (sets_up) return too_long(request);
  return std::nullopt;
}

Result<sdp::Session> read_sections(const Request& request, Reading& reading) {
  if (!request.sections.empty() || request.command == Command::update) {
    return name_sections(request.sections);
  }
  auto session = sdp::parse(request.sdp);
  if (session && !request.edits.codecs.empty()) {
    reading.chosen = sdp::choose_codecs(*session, request.edits.codecs);
    session = sdp::parse(reading.chosen);
  }
  if (!session) return fail("Failed to parse SDP: " + session.error().message);
  if (auto ok = sdp::check(*session, request.edits); !ok) return std::unexpected(ok.error());
  reading.unsupported = sdp::unsupported_options(*session, request.edits);
  if (request.command == Command::offer) {
    if (auto ok = sdp::check_bundle(*session, request.edits); !ok) {
      return std::unexpected(ok.error());
    }
    add_sentence(reading.unsupported, sdp::unsupported_bundle(*session, request.edits));
  }
  sdp::adjust(*session, request.edits);
  add_sentence(reading.unsupported, sdp::unknown_transports(*session));
  return session;
}

}  // namespace millrace

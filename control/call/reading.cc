// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/reading.h"

#include "control/call/named_media.h"
#include "control/sdp/sdp_edits.h"

namespace millrace {

std::optional<std::string> missing_key(const Request& request) {
  const Command command = request.command;
  const bool has_sdp = command == Command::offer || command == Command::answer;
  const bool sets_up = has_sdp || command == Command::update;
  const bool of_all = command == Command::ping || command == Command::list ||
                      command == Command::statistics || command == Command::summary;
  if (has_sdp && request.sdp.empty() && request.medias.empty()) return "No SDP body in message";
  if (!of_all && request.call_id.empty()) return "No call-id in message";
  if (sets_up && request.from_tag.empty()) return "No from-tag in message";
  if (command == Command::answer && request.to_tag.empty()) return "No to-tag in message";
  return std::nullopt;
}

Result<sdp::Session> read_medias(const Request& request, Reading& reading) {
  if (!request.medias.empty() || request.command == Command::update) {
    return name_medias(request.medias);
  }
  auto session = sdp::parse(request.sdp);
  if (session && !request.edits.codecs.empty()) {
    reading.chosen = sdp::choose_codecs(*session, request.edits.codecs);
    session = sdp::parse(reading.chosen);
  }
  if (!session) return fail("Failed to parse SDP: " + session.error().message);
  if (auto ok = sdp::check(*session, request.edits); !ok) return std::unexpected(ok.error());
  if (request.command == Command::offer) {
    if (auto ok = sdp::check_bundle(*session, request.edits); !ok) {
      return std::unexpected(ok.error());
    }
    reading.shortfall = sdp::bundle_shortfall(*session, request.edits);
  }
  sdp::adjust(*session, request.edits);
  return session;
}

}  // namespace millrace

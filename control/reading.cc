// SPDX-License-Identifier: BSD-3-Clause
#include "control/reading.h"

#include "control/named_media.h"
#include "control/sdp_edits.h"

namespace millrace {

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
    reading.shortfall = sdp::shortfall(*session, request.edits);
  }
  sdp::adjust(*session, request.edits);
  return session;
}

}  // namespace millrace

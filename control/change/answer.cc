// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/change/change.h"
#include "control/command/unsupported.h"
#include "control/sdp/sdp_edits.h"

namespace millrace {
namespace {

using State = PartyMedia::State;

// The m= lines that an answer describes: all, unless the protocol answers them one by one.
Lines answered_lines(const Request& request, const sdp::Session& session, std::size_t count) {
  const bool one_by_one = !request.sections.empty() && !request.all_sections;
  Lines result;
  for (std::size_t i = 0; i < count; ++i) {
    result[i] = !one_by_one || (i < session.sections.size() && session.sections[i].given);
  }
  return result;
}

// Rejects the m= lines of the offer that an SDP answer leaves out (RFC 3264 section 6).
void reject_missing(Descriptions& described, const Leg& reader, const Leg& sender) {
  for (std::size_t i = described.size(); i < reader.lines_offered_to(sender); ++i) {
    PartyMedia& media = described.emplace_back();
    media.state = State::refused;
    media.type = reader.offered_to(sender, i).type;
  }
}

}  // namespace

// The dialog that an answer completes: by the answerer's tag, else by its branch, else the latest
// unanswered one, else the latest. None if its party or its branch has ended: it must not take the
// ports of another one.
Dialog* Change::find_for_answer(const Request& request, const Leg& from, const Leg* to) {
  Dialog *by_branch = nullptr, *open = nullptr, *latest = nullptr;
  for (Dialog& dialog : state_.dialogs) {
    if (!dialog.joins(from)) continue;
    if (to != nullptr && dialog.joins(*to)) return &dialog;
    latest = &dialog;
    if (state_.other(dialog, from).tags.empty()) open = &dialog;
    if (!request.via_branch.empty() && dialog.via_branch == request.via_branch) {
      by_branch = &dialog;
    }
  }
  const bool has_ended = std::ranges::any_of(state_.ended, [&](const CallState::Ended& ended) {
    if (!ended.tag.empty() && ended.tag == request.to_tag) {
      return now_ - ended.at <= CallState::kRemembered;
    }
    return by_branch == nullptr && !ended.via_branch.empty() &&
           ended.via_branch == request.via_branch;
  });
  if (has_ended) return nullptr;
  return by_branch != nullptr ? by_branch : open != nullptr ? open : latest;
}

// A copy of the final response that comes after the BYE does not revive its dialog.
bool Change::is_late_copy(const Request& request, const Dialog& dialog, const Leg& sender) {
  return dialog.delete_at && dialog.final && !dialog.pending && sender.has(request.to_tag);
}

// The offer limits what an answer may contain per media section (RFC 3264 section 6).
Result<void> Change::check_answer(Descriptions& described, const Lines& answered, const Leg& reader,
                                  const Leg& sender) {
  const std::size_t offered_lines = reader.lines_offered_to(sender);
  if (described.size() > offered_lines) {
    return fail("The answer has " + std::to_string(described.size()) + " m= lines, the offer has " +
                std::to_string(offered_lines) + " (RFC 3264 section 6)");
  }
  for (std::size_t i = 0; i < described.size(); ++i) {
    if (!answered[i]) continue;
    const PartyMedia& offered = reader.offered_to(sender, i);
    PartyMedia& media = described[i];
    if (offered.state == State::live) {
      if (media.state == State::untouched) {
        return fail("The answer's m= line " + std::to_string(i + 1) + " is over '" +
                    std::string(media.protocol) + "', the offer's over '" +
                    std::string(offered.protocol) + "' (RFC 3264 section 6)");
      }
      const bool relayed = reader.ports(i) && sender.ports(i);
      if (!media.relayed() || !relayed) media.state = State::refused;
    } else {
      const bool dropped = (offered.state == State::bundled && media.state != State::live) ||
                           (offered.state == State::carrier && media.state != State::carrier);
      media.state = dropped ? State::refused : offered.state;
    }
  }
  return {};
}

Result<Change::Settled> Change::settle_answer(const Request& request, const sdp::Session& session) {
  const auto [to, from] = find_parties(request, session, request.to_tag, request.from_tag);
  if (from == nullptr || from == to) return fail(std::string(reason::kNoDialog));
  Dialog* dialog = find_for_answer(request, *from, to);
  if (dialog == nullptr) return fail(std::string(reason::kNoDialog));
  const LegId reader_id = from->id;
  const bool starts = starts_branch(request, *dialog), has_room = this->has_room();
  if (starts && has_room) dialog = &add_branch(*dialog, reader_id, request);
  Leg& reader = state_.leg(reader_id);
  Leg& sender = state_.other(*dialog, reader);
  if (!sender.has_room_for(request.to_tag)) {
    return fail("The party has " + std::to_string(Leg::kMaxTags) +
                " to-tags, the limit; end the call, or answer with one of them");
  }
  auto described = describe_all(request, session, sender, &reader);
  if (!described) return std::unexpected(described.error());
  // A media section that was not offered gets port 0. Otherwise its party would send media past the
  // relay.
  if (!request.sections.empty())
    described->resize(std::min(described->size(), reader.lines_offered_to(sender)));
  const std::size_t given = described->size();
  if (request.sections.empty()) reject_missing(*described, reader, sender);
  const Lines answered = answered_lines(request, session, described->size());
  if (auto ok = check_answer(*described, answered, reader, sender); !ok) {
    return std::unexpected(ok.error());
  }
  if (auto ok = move_ports(reader, request); !ok) return std::unexpected(ok.error());

  const Realm& realm = realm_of(reader);
  Settled result{
      realm, {}, reader.origin_for(request), unsupported_direction(request, *dialog, sender)};
  result.sections.reserve(given);
  SmallVector<Mux, 1> muxes;
  muxes.resize(described->size());
  PortPair bundle;  // the ports of the first relayed media
  for (std::size_t i = 0; i < described->size(); ++i) {
    const PartyMedia &offered = reader.offered_to(sender, i), &media = (*described)[i];
    const PortPair ports = media.state == State::live      ? reader.ports(i)
                           : media.state == State::bundled ? bundle
                                                           : PortPair{};
    if (!bundle) bundle = ports;
    muxes[i] = dialog->settled_mux(reader, i, media);
    const bool bundled = media.state == State::bundled && offered.rtcp_mux && media.rtcp_mux;
    const bool mux = bundled || (dialog->a == reader.id ? muxes[i].a : muxes[i].b);
    if (i >= given) continue;
    result.sections.push_back(rewrite_for(request, realm, media, ports, mux, mux));
    // The protocol of the offer, although the other party got another one.
    const bool as_offered = request.edits.protocol.empty() && media.rtp && offered.rtp &&
                            media.protocol != offered.protocol &&
                            sdp::interchangeable(media.protocol, offered.protocol);
    if (as_offered) result.sections.back().protocol = offered.protocol;
  }
  if (given < described->size()) {
    add_sentence(result.unsupported, "answer: it has " + std::to_string(given) + " of " +
                                         std::to_string(described->size()) +
                                         " m= lines; the others are rejected (RFC 3264 section 6)");
  }
  if (starts && !has_room) {
    add_sentence(result.unsupported, "new-branch: the party has reached the limit of branches");
  }
  if (is_overtaken(request, *dialog, reader) || is_late_copy(request, *dialog, sender)) {
    if (starts && has_room) state_.dialogs.pop_back();
    return result;
  }

  reader.settle(sender, answered);
  std::ignore = sender.withdraw_proposal(reader);
  sender.agree(std::move(*described), request);
  sender.add(request.to_tag);
  add_claims(*dialog, sender, request);
  apply_early(sender);
  dialog->mux = std::move(muxes);
  dialog->early = request.sip.is_provisional() && (dialog->early || !dialog->answered);
  dialog->answered = true;
  dialog->pending = false;
  dialog->final |= request.sip.code >= kFinalResponse && !request.sip.provisional;
  record_signalling(request, *dialog);
  if (!state_.answered_at.is_set()) state_.answered_at = state_.signalled;
  dialog->offered = {};
  for (std::size_t i = 0; i < std::min(reader.sections.size(), sender.sections.size()); ++i) {
    if (!reader.agreed(i).relayed() || !sender.agreed(i).relayed()) continue;
    reader.sections[i].established = sender.sections[i].established = true;
  }
  release_unused(reader);
  release_unused(sender);
  join(*dialog);
  return result;
}

Result<Reply> Change::answer(const Request& request, const sdp::Session& session) {
  auto settled = settle_answer(request, session);
  if (!settled) return std::unexpected(settled.error());
  state_.looked_up |= request.claim != Claim::none;
  return print(request, session, std::move(*settled));
}

}  // namespace millrace

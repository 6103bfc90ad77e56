// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/call/call.h"
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
void reject_missing(std::vector<PartyMedia>& described, const Leg& reader, const Leg& sender) {
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
Dialog* Call::find_for_answer(const Request& request, const Leg& from, const Leg* to,
                              Clock::time_point now) {
  Dialog *by_branch = nullptr, *open = nullptr, *latest = nullptr;
  for (Dialog& dialog : dialogs_) {
    if (!dialog.joins(from)) continue;
    if (to != nullptr && dialog.joins(*to)) return &dialog;
    latest = &dialog;
    if (dialog.other(from).tags.empty()) open = &dialog;
    if (!request.via_branch.empty() && dialog.via_branch == request.via_branch) {
      by_branch = &dialog;
    }
  }
  const bool has_ended = std::ranges::any_of(ended_, [&](const Ended& ended) {
    if (!ended.tag.empty() && ended.tag == request.to_tag) {
      return now - ended.at <= EndedDialogs::kRemembered;
    }
    return by_branch == nullptr && !ended.via_branch.empty() &&
           ended.via_branch == request.via_branch;
  });
  if (has_ended) return nullptr;
  return by_branch != nullptr ? by_branch : open != nullptr ? open : latest;
}

// A copy of the final response that comes after the BYE does not revive its dialog.
bool Call::is_late_copy(const Request& request, const Dialog& dialog, const Leg& sender) {
  return dialog.delete_at && dialog.final && !dialog.pending && sender.has(request.to_tag);
}

void Call::remember(EndedDialogs& ended, Clock::time_point now) const {
  for (const Dialog& dialog : dialogs_) {
    if (!dialog.answered) continue;
    for (const Leg* leg : {dialog.a.get(), dialog.b.get()}) {
      const Leg& other = dialog.other(*leg);
      if (!leg->transaction || leg->tags.empty() || other.tags.empty()) continue;
      ended.add({id_, leg->tags.back(), other.tags.back(), leg->transaction->cseq}, now);
    }
  }
}

// The offer limits what an answer may contain per media section (RFC 3264 section 6).
Result<void> Call::check_answer(std::vector<PartyMedia>& described, const Lines& answered,
                                const Leg& reader, const Leg& sender) {
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
      const bool relayed = reader.ports(i) != nullptr && sender.ports(i) != nullptr;
      if (!media.relayed() || !relayed) media.state = State::refused;
    } else {
      const bool dropped = (offered.state == State::bundled && media.state != State::live) ||
                           (offered.state == State::carrier && media.state != State::carrier);
      media.state = dropped ? State::refused : offered.state;
    }
  }
  return {};
}

Result<Call::Settled> Call::settle_answer(const Request& request, const sdp::Session& session,
                                          Clock::time_point now) {
  const auto [to, from] = find_parties(request, session, request.to_tag, request.from_tag);
  if (!from || from == to) return fail(std::string(reason::kNoDialog));
  Dialog* dialog = find_for_answer(request, *from, to.get(), now);
  if (dialog == nullptr) return fail(std::string(reason::kNoDialog));
  Leg& reader = *from;
  std::optional<Dialog> branch;
  const bool starts = starts_branch(request, *dialog), has_room = this->has_room();
  if (starts && has_room) dialog = &branch.emplace(branch_of(*dialog, reader, request));
  Leg& sender = dialog->other(reader);
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
  if (auto ok = move_ports(reader, request, now); !ok) return std::unexpected(ok.error());

  Settled result{*reader.realm,
                 {},
                 reader.origin_for(request),
                 unsupported_direction(request, *dialog, sender)};
  std::vector<Mux> muxes(described->size());
  const PortLease* bundle = nullptr;  // the ports of the first relayed media
  for (std::size_t i = 0; i < described->size(); ++i) {
    const PartyMedia &offered = reader.offered_to(sender, i), &media = (*described)[i];
    const PortLease* ports = media.state == State::live      ? reader.ports(i)
                             : media.state == State::bundled ? bundle
                                                             : nullptr;
    if (bundle == nullptr) bundle = ports;
    muxes[i] = dialog->settled_mux(reader, i, media);
    const bool bundled = media.state == State::bundled && offered.rtcp_mux && media.rtcp_mux;
    const bool mux = bundled || (dialog->a.get() == &reader ? muxes[i].a : muxes[i].b);
    if (i >= given) continue;
    result.sections.push_back(rewrite_for(request, *reader.realm, media, ports, mux, mux));
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
  if (is_overtaken(request, *dialog, reader) || is_late_copy(request, *dialog, sender))
    return result;

  // From here on nothing fails.
  if (branch) dialog = &dialogs_.emplace_back(std::move(*branch));
  reader.settle(sender, answered);
  std::ignore = sender.withdraw_proposal(reader);
  sender.agree(std::move(*described), request);
  sender.add(request.to_tag);
  add_claims(*dialog, sender, request);
  apply_early(sender, now);
  dialog->mux = std::move(muxes);
  dialog->early = request.sip.is_provisional() && (dialog->early || !dialog->answered);
  dialog->answered = true;
  dialog->pending = false;
  dialog->final |= request.sip.code >= kFinalResponse && !request.sip.provisional;
  record_signalling(request, *dialog, now);
  if (!answered_) answered_ = signalled_;
  dialog->offered.answered();
  for (std::size_t i = 0; i < std::min(reader.sections.size(), sender.sections.size()); ++i) {
    if (!reader.agreed(i).relayed() || !sender.agreed(i).relayed()) continue;
    reader.sections[i].established = sender.sections[i].established = true;
  }
  release_unused(reader);
  release_unused(sender);
  join(*dialog);
  return result;
}

Result<Reply> Call::answer(const Request& request, const sdp::Session& session,
                           Clock::time_point now) {
  auto settled = settle_answer(request, session, now);
  if (!settled) return std::unexpected(settled.error());
  looked_up_ |= request.claim != Claim::none;
  return print(request, session, std::move(*settled));
}

}  // namespace millrace

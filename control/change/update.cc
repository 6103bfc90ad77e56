// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/change/change.h"

namespace millrace {

// An answer arrives in the opposite direction of its offer, in the same transaction. A PRACK may
// answer an offer in a provisional reply (RFC 3262 section 5), because a party that
// owes an answer must not make an offer (RFC 3264 section 4).
bool Change::answers(const Request& update) const {
  const Leg* const owner = state_.find(update.from_tag);
  if (owner == nullptr) return false;
  const auto& last = owner->transaction;
  if (!last || last->offered_by_reply == update.sip.by_reply) return false;
  if (update.sip.cseq == last->cseq) return true;
  return last->offered_by_reply && std::ranges::any_of(state_.dialogs, [&](const Dialog& d) {
           return d.pending && d.joins(*owner);
         });
}

Result<Reply> Change::update(const Request& request, const sdp::Session& session) {
  const Leg* const owner = state_.find(request.from_tag);
  const auto last = owner != nullptr ? owner->transaction : std::nullopt;
  const bool old = last && request.sip.cseq < last->cseq;
  if (old || request.sections.empty()) return repeat_reply(request);

  const bool is_answer = answers(request);
  // In `turned` the from-tag is always the offerer's.
  Request turned = request;
  if (is_answer != request.sip.by_reply) std::swap(turned.from_tag, turned.to_tag);
  auto printed = is_answer ? answer(turned, session) : offer(turned, session);
  if (!printed) return printed;

  if (Leg* const sent = state_.find(request.from_tag); sent != nullptr && !is_answer) {
    sent->transaction = {.cseq = request.sip.cseq, .offered_by_reply = request.sip.by_reply};
  }
  const Labels& labels = request.labels;
  if (Leg* const sender = state_.find(request.sip.by_reply ? request.to_tag : request.from_tag)) {
    sender->user_agent = labels.user_agent.substr(0, kMaxLabel);
  }
  if (!state_.update) {
    state_.update = Boxed(CallState::UpdateNames{.from_tag = request.from_tag,
                                                 .from_uri = labels.from_uri.substr(0, kMaxLabel),
                                                 .to_uri = labels.to_uri.substr(0, kMaxLabel),
                                                 .username = labels.username.substr(0, kMaxLabel)});
  }
  return printed;
}

// Prints the current ports of the message's reader again.
Result<Reply> Change::repeat_reply(const Request& update) const {
  const Leg *from = state_.find(update.from_tag), *to = state_.find(update.to_tag);
  const auto& [sender, reader] = update.sip.by_reply ? std::pair{to, from} : std::pair{from, to};
  const Leg* leg = reader;
  if (leg == nullptr && sender != nullptr && sender->has_peer()) leg = &state_.leg(sender->peer);
  if (leg == nullptr) return fail("Invalid dialogue association");
  Settled result{realm_of(*leg), {}, nullptr};
  PartyMedia live;
  live.state = PartyMedia::State::live;
  for (const LegMedia& media : leg->sections) {
    result.sections.push_back(rewrite_for(update, result.realm, live, media.ports, false, false));
  }
  return print(update, {}, std::move(result));
}

}  // namespace millrace

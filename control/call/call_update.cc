// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/call/call.h"

namespace millrace {

// An answer arrives in the opposite direction of its offer, in the same transaction. A PRACK may
// answer an offer in a provisional reply (RFC 3262 section 5), because a party that
// owes an answer must not make an offer (RFC 3264 section 4).
bool Call::answers(const Request& update) const {
  const auto owner = find(update.from_tag);
  if (!owner) return false;
  const auto& last = owner->transaction;
  if (!last || last->offered_by_reply == update.sip.by_reply) return false;
  if (update.sip.cseq == last->cseq) return true;
  return last->offered_by_reply && std::ranges::any_of(dialogs_, [&](const Dialog& d) {
           return d.pending && d.joins(*owner);
         });
}

Result<Reply> Call::update(const Request& request, const sdp::Session& session,
                           Clock::time_point now) {
  const auto owner = find(request.from_tag);
  const auto last = owner ? owner->transaction : std::nullopt;
  const bool old = last && request.sip.cseq < last->cseq;
  if (old || request.sections.empty()) return repeat_reply(request);

  const bool is_answer = answers(request);
  // In `turned` the from-tag is always the offerer's.
  Request turned = request;
  if (is_answer != request.sip.by_reply) std::swap(turned.from_tag, turned.to_tag);
  auto printed = is_answer ? answer(turned, session, now) : offer(turned, session, now);
  if (!printed) return printed;

  // From here on nothing fails.
  if (const auto sent = find(request.from_tag); sent && !is_answer) {
    sent->transaction = {.cseq = request.sip.cseq, .offered_by_reply = request.sip.by_reply};
  }
  if (const auto sender = find(request.sip.by_reply ? request.to_tag : request.from_tag)) {
    sender->user_agent = request.labels.user_agent.substr(0, kMaxLabel);
  }
  if (from_tag_.empty()) {
    from_tag_ = request.from_tag;
    username_ = request.labels.username.substr(0, kMaxLabel);
    from_uri_ = request.labels.from_uri.substr(0, kMaxLabel);
    to_uri_ = request.labels.to_uri.substr(0, kMaxLabel);
  }
  return printed;
}

// Prints the current ports of the message's reader again.
Result<Reply> Call::repeat_reply(const Request& update) const {
  const auto from = find(update.from_tag), to = find(update.to_tag);
  const auto& [sender, reader] = update.sip.by_reply ? std::pair{to, from} : std::pair{from, to};
  const Leg* leg = reader ? reader.get() : sender ? sender->peer : nullptr;
  if (leg == nullptr) return fail("Invalid dialogue association");
  Settled result{*leg->realm, {}, nullptr};
  PartyMedia live;
  live.state = PartyMedia::State::live;
  for (const LegMedia& media : leg->sections) {
    result.sections.push_back(
        rewrite_for(update, *leg->realm, live, media.ports.get(), false, false));
  }
  return print(update, {}, std::move(result));
}

}  // namespace millrace

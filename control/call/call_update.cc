// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "control/call/call.h"

namespace millrace {

// The answer to an offer comes the other way in the same transaction. A PRACK may answer, too, that
// a provisional reply has offered (RFC 3262 section 5): who owes an answer must not offer before
// (RFC 3264 section 4).
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
  if (old || request.sections.empty()) return remind(request);

  const bool is_answer = answers(request);
  // Of an offer, the first tag is the offerer's; of an answer, that of who offered.
  Request turned = request;
  if (is_answer != request.sip.by_reply) std::swap(turned.from_tag, turned.to_tag);
  auto told = is_answer ? answer(turned, session, now) : offer(turned, session, now);
  if (!told) return told;

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
  return told;
}

// What the reader of the message was told last.
Result<Reply> Call::remind(const Request& update) const {
  const auto from = find(update.from_tag), to = find(update.to_tag);
  const auto& [sender, reader] = update.sip.by_reply ? std::pair{to, from} : std::pair{from, to};
  const Leg* leg = reader ? reader.get() : sender ? sender->peer : nullptr;
  if (leg == nullptr) return fail("Invalid dialogue association");
  Told result{*leg->realm, {}, nullptr};
  PartyMedia live;
  live.state = PartyMedia::State::live;
  for (const LegMedia& media : leg->sections) {
    result.sections.push_back(told(update, *leg->realm, live, media.ports.get(), false, false));
  }
  return print(update, {}, std::move(result));
}

}  // namespace millrace

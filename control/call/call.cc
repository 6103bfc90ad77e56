// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/call.h"

#include <algorithm>
#include <utility>

#include "control/call/call_events.h"
#include "control/call/call_report.h"

namespace millrace {

Call::Call(std::string_view id, const CallContext& context, Dataplane& dataplane)
    : id_(id), context_(context), dataplane_(dataplane) {}

// Puts the change in force that `act` makes, if its result is true.
template <typename Act>
auto Call::apply(Clock::time_point now, Act&& act) {
  Change change(*state_, context_, now);
  auto result = act(change);
  if (result) put(change);
  return result;
}

Result<Reply> Call::offer(const Request& request, const sdp::Session& session,
                          Clock::time_point now) {
  return apply(now, [&](Change& change) { return change.offer(request, session); });
}

Result<Reply> Call::answer(const Request& request, const sdp::Session& session,
                           Clock::time_point now) {
  return apply(now, [&](Change& change) { return change.answer(request, session); });
}

Result<Reply> Call::update(const Request& request, const sdp::Session& session,
                           Clock::time_point now) {
  return apply(now, [&](Change& change) { return change.update(request, session); });
}

std::size_t Call::trickle(const Request& request, std::vector<sdp::FragmentMedia> fragment,
                          Clock::time_point now) {
  Change change(*state_, context_, now);
  const std::size_t added = change.trickle(request, std::move(fragment));
  put(change);  // also if it only keeps the fragment for later
  return added;
}

bool Call::remove(const Request& request, Clock::time_point now) {
  const auto delay = request.removal.delay.value_or(context_.timeouts.delete_delay);
  const bool whole = !empty() && request.claim == Claim::none && !request.removal.media &&
                     delay <= delay.zero() &&
                     named_dialogs(*state_, request).count() == state_->dialogs.size();
  if (!whole) return apply(now, [&](Change& change) { return change.remove(request); });
  clear();
  return true;
}

Result<void> Call::set_blocking(const Request& request, Clock::time_point now) {
  return apply(now, [&](Change& change) { return change.set_blocking(request); });
}

// Everything that can fail comes before the first effect.
void Call::put(Change& change) {
  CallState& next = change.state();
  const Effects effects = millrace::effects(*state_, next, context_.realms);
  for (const Flow& flow : effects.withdrawn) keep_counters(flow, next);
  OffersBySource& offers = context_.realms.offers();
  const bool same_offers =
      std::ranges::equal(state_->dialogs, next.dialogs, {}, &Dialog::offered, &Dialog::offered);
  if (!same_offers) {
    for (const Dialog& dialog : next.dialogs) offers.add(dialog.offered);
    for (const Dialog& dialog : state_->dialogs) offers.remove(dialog.offered);
  }

  for (const Flow& flow : effects.withdrawn) dataplane_.withdraw(flow.local());
  for (const Path& path : effects.published) dataplane_.publish(path);
  for (const auto& [realm, ports] : effects.returned) {
    context_.realms.at(realm).pool.give_back(ports);
  }
  mark_published(next);
  next.remove_unused_legs();
  state_ = change.take();
}

// The counters of a port that its leg loses or another branch will use.
void Call::keep_counters(const Flow& flow, CallState& to) const {
  Leg& leg = to.leg(flow.leg);
  if (flow.index >= leg.sections.size() || !to.is_in_dialog(leg)) return;
  LegMedia& media = leg.sections[flow.index];
  const bool reported = media.ports || (media.past && media.past->closed);
  if (!reported) return;
  const auto now = PastFlow::Clock::now();
  if (flow.component == 0) {
    const auto seen = dataplane_.read_quality(flow.ports.rtp());
    if (const auto quality = leg.quality(flow.index, seen, now)) {
      media.past.ensure().quality = {*quality, now};
    }
  }
  const FlowReport report = dataplane_.read(flow.local());
  if (!report.active) return;
  const PastFlow past{leg.total_flow(flow.index, report, flow.component, now), now};
  if (!past.empty()) media.past.ensure().ports[flow.component] = past;
}

void Call::remember(EndedDialogs& ended, Clock::time_point now) const {
  for (const Dialog& dialog : state_->dialogs) {
    if (!dialog.answered) continue;
    for (const LegId id : {dialog.a, dialog.b}) {
      const Leg& leg = state_->leg(id);
      const Leg& other = state_->other(dialog, leg);
      if (!leg.transaction || leg.tags.empty() || other.tags.empty()) continue;
      ended.add({id_, leg.tags.back(), other.tags.back(), leg.transaction->cseq}, now);
    }
  }
}

void Call::clear() noexcept {
  for (const Dialog& dialog : state_->dialogs) context_.realms.offers().remove(dialog.offered);
  state_->dialogs.clear();
  for (Leg& leg : state_->legs) {
    for (std::size_t i = 0; i < leg.sections.size(); ++i) {
      const PortPair ports = std::exchange(leg.sections[i].ports, {});
      const bool shared = std::ranges::any_of(
          state_->legs, [&](const Leg& other) { return other.ports(i) == ports; });
      if (!ports || shared) continue;
      dataplane_.withdraw(ports.rtp());
      dataplane_.withdraw(ports.rtcp());
      context_.realms.at(leg.realm).pool.give_back(ports);
    }
  }
  state_->legs.clear();
}

Call::Clock::time_point Call::may_end() const { return earliest_end(*state_, context_.timeouts); }

std::optional<Call::Clock::duration> Call::time_left(Clock::time_point now) const {
  const Clock::time_point end = next_end(*state_, context_.timeouts, dataplane_, now).next;
  if (end == Clock::time_point::max()) return std::nullopt;
  return end - now;
}

Verdict Call::check(Clock::time_point now) {
  const auto is_due = [&](const Dialog& dialog) {
    return dialog.delete_at && *dialog.delete_at <= now;
  };
  if (std::ranges::all_of(state_->dialogs, is_due)) return {End::deleted, now};
  if (std::ranges::any_of(state_->dialogs, is_due)) {
    Change change(*state_, context_, now);
    change.end_due();
    put(change);
  }
  return check_end(*state_, context_.timeouts, dataplane_, now);
}

CallReport Call::report(Clock::time_point now) const {
  return millrace::report(id_, *state_, context_.realms, dataplane_, now);
}

std::optional<bool> Call::hold_changed() {
  // An offer takes effect with its answer.
  if (std::ranges::any_of(state_->dialogs, &Dialog::pending)) return std::nullopt;
  const bool hold = is_on_hold(*state_);
  if (std::exchange(state_->on_hold, hold) == hold) return std::nullopt;
  return hold;
}

std::vector<event::Latched> Call::new_latches() {
  std::vector<event::Latched> result;
  const auto check = [&](Leg& leg, std::size_t i, std::size_t component) {
    const PortPair ports = leg.ports(i);
    const LocalPort local = component == 0 ? ports.rtp() : ports.rtcp();
    const auto source = dataplane_.read(local).latched;
    LegMedia& media = leg.sections[i];
    if (!source || (media.notified && source == (*media.notified)[component])) return;
    media.notified.ensure()[component] = source;
    result.push_back({.tag = std::string(leg.tags.empty() ? Text() : leg.tags.back()),
                      .media = static_cast<unsigned>(i + 1),
                      .rtcp = component == 1,
                      .local = context_.realms.at(leg.realm).printed(local),
                      .source = *source});
  };
  for (const Dialog& dialog : state_->dialogs) {
    if (!state_->is_joined(dialog)) continue;
    for (const LegId id : {dialog.a, dialog.b}) {
      Leg& leg = state_->leg(id);
      for (std::size_t i = 0; i < leg.sections.size(); ++i) {
        if (!leg.ports(i)) continue;
        check(leg, i, 0);
        check(leg, i, 1);
      }
    }
  }
  return result;
}

}  // namespace millrace

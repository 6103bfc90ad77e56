// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/calls.h"

#include <mutex>
#include <string>
#include <utility>
#include <variant>

#include "control/call/calls_impl.h"
#include "control/call/reading.h"
#include "control/command/unsupported.h"
#include "control/sdp/sdp.h"
#include "control/sdp/sdp_edits.h"

namespace millrace {
namespace {

using Time = Calls::Clock::time_point;
using reason::kOutOfPorts;

constexpr std::string_view kSessionLimit = "Parallel session limit reached";
constexpr std::string_view kNoMatch = "Call-ID not found or tags didn't match";

}  // namespace

// Many timeouts in one pass are one network fault. Log them once, as an error.
void Calls::Impl::log_mass_end() {
  const std::uint64_t before = pass_sessions.exchange(0), ended = pass_timeouts.exchange(0);
  if (ended < kMassEnd || ended * 10 < before) return;
  log_event(Level::error, "mass-timeout", {{"calls", ended}, {"of", before}});
}

Reply Calls::Impl::limit_reached(const Request& request) {
  ++rejected;
  log_event(Level::warning, "load-limit",
            {{"call-id", request.call_id},
             {"from-tag", request.from_tag},
             {"reason", draining ? "draining" : "limits.calls"}});
  if (request.supports_load_limit) {
    return reply::LoadLimit{.message = std::string(kSessionLimit), .draining = draining};
  }
  ++errors;
  return reply::Failure{std::string(kSessionLimit)};
}

// Logs the source with the most unanswered ports: an operator needs it first.
void Calls::Impl::out_of_ports() {
  ++rejected;
  const UnansweredPorts waiting = unanswered();
  const auto* most = waiting.most.empty() ? nullptr : &waiting.most.front();
  log_event(Level::warning, "ports-exhausted",
            {{"used", realms.ports_used()},
             {"of-unanswered-offers", waiting.all},
             {"most-by", most != nullptr && most->address ? most->address->text() : ""},
             {"it-holds", most != nullptr ? most->ports : 0}});
}

Reply Calls::Impl::offer(const Request& request, Time now) {
  const bool update = request.command == Command::update;
  Reading reading;
  const auto session = read_sections(request, reading);
  if (!session) return refuse(request, session.error().message);
  // A late copy of a 200 does not make its call again.
  if (update && request.sip.by_reply && !find(request.call_id) &&
      ended_dialogs.has({request.call_id, request.from_tag, request.to_tag, request.sip.cseq},
                        now)) {
    return refuse(request, std::string(reason::kUnknownCall));
  }
  for (;;) {
    const CallPtr call = find_or_make(request);
    if (!call) return limit_reached(request);
    const std::lock_guard lock(call->mutex);
    if (call->gone) continue;
    const bool fresh = call->empty(), answered = call->state().answered();
    // If anything below fails, a check finds the abandoned call and ends it.
    if (fresh) schedule.at(call, now + kRetry);
    auto printed =
        update ? call->update(request, *session, now) : call->offer(request, *session, now);
    if (!printed) {
      if (call->empty()) erase(call);
      if (printed.error().message == kOutOfPorts) out_of_ports();
      return refuse(request, std::move(printed.error().message));
    }
    if (fresh) ++sessions_total;
    schedule_check(call, fresh, now);
    notify_progress(*call, fresh, answered);
    log_signal(request, !update && answered ? "reoffer" : name(request.command), *call,
               request.from_tag);
    log_state(*call);
    report_unsupported(request, *printed, reading.unsupported);
    return std::move(*printed);
  }
}

Reply Calls::Impl::answer(const Request& request, Time now) {
  Reading reading;
  const auto session = read_sections(request, reading);
  if (!session) return refuse(request, session.error().message);
  return with_call(request, [&](const CallPtr& call) -> Reply {
    const bool answered = call->state().answered();
    auto printed = call->answer(request, *session, now);
    if (!printed) return refuse(request, std::move(printed.error().message));
    schedule_check(call, false, now);
    notify_progress(*call, false, answered);
    log_signal(request, "answer", *call, request.to_tag);
    log_state(*call);
    report_unsupported(request, *printed, reading.unsupported);
    return std::move(*printed);
  });
}

// The proxy forwards the fragment unchanged, so the relay cannot hide its candidates.
Reply Calls::Impl::trickle(const Request& request, Time now) {
  auto fragment = sdp::parse_fragment(request.sdp);
  if (!fragment)
    return refuse(request, "Failed to parse SDP fragment: " + fragment.error().message);
  return with_call(request, [&](const CallPtr& call) -> Reply {
    log_event(Level::info, "trickle",
              {{"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"addresses", call->trickle(request, std::move(*fragment), now)}});
    const bool hides =
        request.edits.ice == IceHandling::remove || request.edits.ice == IceHandling::relay_only;
    return reply::Done{hides ? "ICE: candidates of a fragment are not hidden; do not forward it"
                             : ""};
  });
}

Reply Calls::Impl::remove(const Request& request, Time now) {
  const auto miss = [&]() -> Reply {
    if (request.removal.fatal) return refuse(request, std::string(kNoMatch));
    return reply::Deleted{.call = std::nullopt, .warning = std::string(kNoMatch)};
  };
  const auto act = [&](const CallPtr& call) -> Reply {
    reply::Deleted result;
    event::End last = ending(*call, End::deleted, now);
    if (!request.removal.fast)
      result.call = last.report.tags.empty() ? call->report(now) : last.report;
    call->remember(ended_dialogs, now);
    if (!call->remove(request, now)) return miss();
    log_event(Level::info, "delete",
              {{"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"via-branch", request.via_branch}});
    if (call->empty()) {
      finish(call, End::deleted, std::move(last));
    } else {
      log_state(*call);
      schedule.at(call, call->may_end());
    }
    return result;
  };
  return with_call(request, act, miss);
}

Reply Calls::Impl::query(const Request& request, Time now) {
  return with_call(request, [&](const CallPtr& call) -> Reply {
    reply::Query result{call->report(now)};
    result.call.left = call->time_left(now);
    return result;
  });
}

Reply Calls::Impl::set_blocking(const Request& request, Time now) {
  return with_call(request, [&](const CallPtr& call) -> Reply {
    if (auto done = call->set_blocking(request, now); !done) {
      return refuse(request, std::move(done.error().message));
    }
    log_event(Level::info, name(request.command),
              {{"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"label", request.labels.label}});
    return reply::Done{};
  });
}

// The call is scheduled already, in case the check fails.
void Calls::Impl::check(const CallPtr& call, Time now) {
  const std::lock_guard lock(call->mutex);
  if (call->gone) return;
  if (watched()) notify_latches(*call);
  const Verdict verdict = call->check(now);
  if (verdict.end) {
    call->remember(ended_dialogs, now);
    finish(call, *verdict.end, ending(*call, *verdict.end, now));
  } else {
    schedule.set(call, next_check(*call, verdict.next, now));
  }
}

Calls::Calls(const Config& config, Dataplane& dataplane)
    : impl_(std::make_unique<Impl>(config, dataplane)) {}

Calls::~Calls() = default;

Reply Calls::handle(const Request& request, Clock::time_point now) {
  Reply reply = execute(request, now);
  // offer() and answer() report their own, with those of the SDP. Other replies have a warning for
  // the proxy alone, such as an unknown Call-ID.
  const bool reported =
      std::holds_alternative<reply::Sdp>(reply) || std::holds_alternative<reply::Endpoints>(reply);
  const bool degraded = std::holds_alternative<reply::Done>(reply) || !request.unsupported.empty();
  if (degraded && !reported) report_unsupported(request, reply, {});
  return reply;
}

Reply Calls::execute(const Request& request, Clock::time_point now) {
  Impl& calls = *impl_;
  const Command counted = request.command != Command::update ? request.command
                          : request.sip.by_reply             ? Command::answer
                                                             : Command::offer;
  ++calls.commands[static_cast<std::size_t>(counted)];
  const bool has_sdp = request.command == Command::offer || request.command == Command::answer;
  if (const auto why = refused_key(request)) return calls.refuse(request, *why);
  if (has_sdp && request.fragment) return calls.trickle(request, now);
  if (has_sdp && request.edits.lines.loop_mark && sdp::has_looped(request.sdp)) {
    return reply::Sdp{std::string(request.sdp)};
  }
  switch (request.command) {
    case Command::ping:
      return reply::Pong{};
    case Command::offer:
    case Command::update:
      return calls.offer(request, now);
    case Command::answer:
      return calls.answer(request, now);
    case Command::remove:
      return calls.remove(request, now);
    case Command::query:
      return calls.query(request, now);
    case Command::list:
      return reply::List{calls.schedule.call_ids(request.list_limit, request.claim != Claim::none)};
    case Command::statistics:
      return reply::Statistics{statistics(now)};
    case Command::summary:
      return reply::Summary{summary(now)};
    case Command::block_media:
    case Command::unblock_media:
    case Command::silence_media:
    case Command::unsilence_media:
    case Command::block_dtmf:
    case Command::unblock_dtmf:
      return calls.set_blocking(request, now);
  }
  return reply::Failure{"Unrecognized command"};
}

bool Calls::expire(Clock::time_point now) {
  Impl& calls = *impl_;
  calls.realms.advance(now);
  if (calls.pass_sessions == 0) calls.pass_sessions = calls.sessions.load();
  for (std::size_t i = 0; i < kPortion; ++i) {
    const CallPtr call = calls.schedule.take_due(now, Impl::kRetry);
    if (!call) {
      calls.log_mass_end();
      calls.bytes.measure(now, [&] { return calls.relayed_bytes(); });
      return false;
    }
    calls.guarded(*call, [&] { calls.check(call, now); });
  }
  return true;
}

void Calls::publish_events(EventOutlet outlet) { impl_->outlet = std::move(outlet); }

void Calls::drain() {
  impl_->draining = true;
  log_event(Level::info, "draining", {{"calls", sessions()}});
}

std::uint64_t Calls::end_portion() {
  impl_->draining = true;
  for (const CallPtr& call : impl_->schedule.calls(kPortion)) {
    impl_->guarded(*call, [&] {
      const std::lock_guard lock(call->mutex);
      if (!call->gone)
        impl_->finish(call, End::forced, impl_->ending(*call, End::forced, Clock::now()));
    });
  }
  return sessions();
}

std::uint64_t Calls::sessions() const { return impl_->sessions; }

}  // namespace millrace

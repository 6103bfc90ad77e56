// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/calls.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <tbb/concurrent_hash_map.h>

#include "control/call/call.h"
#include "control/call/call_log.h"
#include "control/call/call_schedule.h"
#include "control/call/reading.h"
#include "control/call/speed.h"
#include "control/command/shortfall.h"
#include "control/log.h"
#include "control/ports/realm.h"
#include "control/sdp/sdp.h"
#include "control/sdp/sdp_edits.h"

namespace millrace {
namespace {

using Time = Calls::Clock::time_point;
using Counter = std::atomic<std::uint64_t>;

constexpr std::uint64_t kMassEnd = 20;  // timeouts a second, and a tenth of all calls
constexpr auto kLatchLook = std::chrono::seconds(1);
constexpr auto kRetry = std::chrono::seconds(1);  // after a check that failed
constexpr std::string_view kSessionLimit = "Parallel session limit reached";
using reason::kOutOfPorts, reason::kUnknownCall;
constexpr std::string_view kNoMatch = "Call-ID not found or tags didn't match";

constexpr std::array<std::string_view, 7> kEndNames = {
    "media-timeout", "silent-timeout",  "offer-timeout", "final-timeout",
    "deleted",       "ice-direct-path", "forced"};

// By the proxy, or as it should be: nobody needs to be told.
bool expected(Call::End end) { return end == Call::End::deleted || end == Call::End::ice_direct; }

}  // namespace

struct Calls::Impl {
  using Table = tbb::concurrent_hash_map<std::string_view, CallPtr>;  // by Call::id()

  const Config& config;
  Dataplane& dataplane;
  Realms realms;  // outlives the calls, whose ports go back there
  Table table;
  CallSchedule schedule;
  const Time started = Clock::now();
  std::atomic<bool> draining = false;
  const bool readers;  // of the event stream
  EventOutlet outlet;

  Speed bytes{kSpeedPeriod, started};  // that workers relay

  // Of the expire() under way, which may take several portions.
  Counter pass_sessions = 0, pass_timeouts = 0;

  Counter sessions = 0, sessions_total = 0, rejected = 0, errors = 0;
  std::array<Counter, kEndNames.size()> ends{};  // by Call::End
  std::array<Counter, kCommands> commands{};     // by Command

  Impl(const Config& settings, Dataplane& packets)
      : config(settings),
        dataplane(packets),
        realms(settings),
        readers(std::ranges::any_of(settings.notify, [](const Notify& notify) {
          return notify.type == NotifyType::events;
        })) {}

  [[nodiscard]] CallPtr find(std::string_view call_id) const {
    Table::const_accessor found;
    return table.find(found, call_id) ? found->second : nullptr;
  }

  // The call, made if need be; null if no further one is allowed.
  [[nodiscard]] CallPtr find_or_make(const Request& request, Time now) {
    if (CallPtr call = find(request.call_id)) return call;
    const std::uint64_t others = sessions.fetch_add(1);
    if (draining || (config.limits.calls != 0 && others >= config.limits.calls)) {
      --sessions;
      return nullptr;
    }
    try {
      const auto made = std::make_shared<Call>(request, config.timeouts, realms, dataplane, now);
      Table::const_accessor found;
      if (!table.insert(found, {made->id(), made})) --sessions;  // another thread was faster
      return found->second;
    } catch (...) {
      --sessions;
      throw;
    }
  }

  // Precondition: the call's lock is held.
  void leave(const CallPtr& call) {
    call->gone = true;
    call->clear();
    schedule.forget(call);
    table.erase(call->id());
    --sessions;
  }

  [[nodiscard]] event::End ending(const Call& call) const {
    event::End last = call.ending();
    if (readers || log_enabled(Level::info)) last.report = call.report();
    return last;
  }

  // `last` is its ending() before it lost its dialogs.
  void finish(const CallPtr& call, Call::End end, event::End last) {
    leave(call);
    const auto reason = static_cast<std::size_t>(end);
    ++ends[reason];
    log_end(call->id(), kEndNames[reason], expected(end), last.report);
    const event::End::Dialog tags = last.tags;
    last.reason = kEndNames[reason];
    last.notify_proxy = !expected(end);
    if (last.notify_proxy && end != Call::End::forced) {
      ++pass_timeouts;
      tell(*call, tags, event::Timeout{last.reason});
    }
    if (watched() || last.notify_proxy) tell(*call, tags, std::move(last));
  }

  // All events are published; without readers, only ends that a proxy is notified of.
  [[nodiscard]] bool watched() const { return outlet && readers; }
  // An event that cannot be passed on costs itself, not the request that caused it.
  void tell(const Call& call, const event::End::Dialog& tags, decltype(Event::what) what) const {
    if (!outlet) return;
    guarded(call, [&] {
      outlet({.time = std::chrono::system_clock::now(),
              .call_id = std::string(call.id()),
              .from_tag = tags.from_tag,
              .to_tag = tags.to_tag,
              .what = std::move(what)});
    });
  }
  void tell(const Call& call, decltype(Event::what) what) const {
    if (watched()) tell(call, call.tags(), std::move(what));
  }
  // After an offer or answer; `answered`: it was before.
  void tell_progress(Call& call, bool fresh, bool answered) const {
    guarded(call, [&] {
      if (fresh) tell(call, event::Start{});
      if (!answered && call.answered()) tell(call, event::Answer{});
      if (const auto held = call.hold_changed()) {
        *held ? tell(call, event::Hold{}) : tell(call, event::Resume{});
      }
    });
  }
  void tell_latches(Call& call) const {
    guarded(call, [&] {
      for (event::Latched& latched : call.new_latches()) tell(call, std::move(latched));
    });
  }
  // After an offer or answer. A call that stands for a later check stays there: it is found to
  // live on. Precondition: the call's lock is held.
  void plan(const CallPtr& call, bool fresh, Time now) {
    const Time next = next_look(*call, call->may_end(), now);
    fresh ? schedule.set(call, next) : schedule.at(call, next);
  }
  [[nodiscard]] Time next_look(const Call& call, Time next, Time now) const {
    return watched() && call.awaits_latch(now) ? std::min(next, now + kLatchLook) : next;
  }

  // An exception from one call is logged and stops neither the caller nor the other calls.
  template <typename Act>
  void guarded(const Call& call, Act&& act) const {
    try {
      act();
    } catch (const std::exception& error) {
      log_event(Level::error, "call-exception", {{"call-id", call.id()}, {"reason", error.what()}});
    }
  }

  [[nodiscard]] Reply refuse(const Request& request, std::string reason) {
    log_event(Level::warning, "refused",
              {{"command", name(request.command)},
               {"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"reason", reason}});
    ++errors;
    return reply::Failure{std::move(reason)};
  }

  // What `act` makes of the call that `request` names, under its lock; or of none, by `miss`.
  template <typename Act, typename Miss>
  [[nodiscard]] Reply with_call(const Request& request, Act&& act, Miss&& miss) const {
    const CallPtr call = find(request.call_id);
    if (!call) return miss();
    const std::lock_guard lock(call->mutex);
    return call->empty() ? miss() : act(call);
  }
  template <typename Act>
  [[nodiscard]] Reply with_call(const Request& request, Act&& act) {
    return with_call(request, act, [&] { return refuse(request, std::string(kUnknownCall)); });
  }

  [[nodiscard]] std::uint64_t relayed_bytes() const;
  [[nodiscard]] Reply limit_reached(const Request& request);
  [[nodiscard]] Reply offer(const Request& request, Time now);
  [[nodiscard]] Reply answer(const Request& request, Time now);
  [[nodiscard]] Reply trickle(const Request& request, Time now);
  [[nodiscard]] Reply remove(const Request& request, Time now);
  [[nodiscard]] Reply query(const Request& request);
  [[nodiscard]] Reply restrain(const Request& request);
  void check(const CallPtr& call, Time now);
  void log_mass_end();
};

// Many calls timing out together is one fault of the network, not many of phones.
void Calls::Impl::log_mass_end() {
  const std::uint64_t before = pass_sessions.exchange(0), ended = pass_timeouts.exchange(0);
  if (ended < kMassEnd || ended * 10 < before) return;
  log_event(Level::error, "mass-timeout", {{"calls", ended}, {"of", before}});
}

std::uint64_t Calls::Impl::relayed_bytes() const {
  std::uint64_t sum = 0;
  for (const WorkerReport& worker : dataplane.report().workers) sum += worker.relayed_bytes;
  return sum;
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

Reply Calls::Impl::offer(const Request& request, Time now) {
  const bool update = request.command == Command::update;
  Reading reading;
  const auto session = read_medias(request, reading);
  if (!session) return refuse(request, session.error().message);
  for (;;) {
    const CallPtr call = find_or_make(request, now);
    if (!call) return limit_reached(request);
    const std::lock_guard lock(call->mutex);
    if (call->gone) continue;
    const bool fresh = call->empty(), answered = call->answered();
    // Whatever fails from here on, an abandoned call is found and ended.
    if (fresh) schedule.at(call, now + kRetry);
    auto told = update ? call->update(request, *session, now) : call->offer(request, *session, now);
    if (!told) {
      if (call->empty()) leave(call);
      if (told.error().message == kOutOfPorts) ++rejected;
      return refuse(request, std::move(told.error().message));
    }
    if (fresh) ++sessions_total;
    plan(call, fresh, now);
    tell_progress(*call, fresh, answered);
    log_signal(request, !update && answered ? "reoffer" : name(request.command), *call,
               request.from_tag);
    tell_shortfall(request, *told, reading.shortfall);
    return std::move(*told);
  }
}

Reply Calls::Impl::answer(const Request& request, Time now) {
  Reading reading;
  const auto session = read_medias(request, reading);
  if (!session) return refuse(request, session.error().message);
  return with_call(request, [&](const CallPtr& call) -> Reply {
    const bool answered = call->answered();
    auto told = call->answer(request, *session, now);
    if (!told) return refuse(request, std::move(told.error().message));
    plan(call, false, now);
    tell_progress(*call, false, answered);
    log_signal(request, "answer", *call, request.to_tag);
    tell_shortfall(request, *told, reading.shortfall);
    return std::move(*told);
  });
}

// The proxy passes the fragment on as it is: what it names cannot be kept from its reader.
Reply Calls::Impl::trickle(const Request& request, Time now) {
  auto news = sdp::parse_fragment(request.sdp);
  if (!news) return refuse(request, "Failed to parse SDP fragment: " + news.error().message);
  return with_call(request, [&](const CallPtr& call) -> Reply {
    log_event(Level::info, "trickle",
              {{"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"addresses", call->trickle(request, std::move(*news), now)}});
    const bool hides = request.ice == IceHandling::remove || request.ice == IceHandling::relay_only;
    return reply::Done{hides ? "ICE: a fragment's candidates are not hidden; keep it back" : ""};
  });
}

Reply Calls::Impl::remove(const Request& request, Time now) {
  const auto miss = [&]() -> Reply {
    if (request.fatal) return refuse(request, std::string(kNoMatch));
    return reply::Deleted{.call = std::nullopt, .warning = std::string(kNoMatch)};
  };
  const auto act = [&](const CallPtr& call) -> Reply {
    reply::Deleted result;
    event::End last = ending(*call);
    if (!request.fast) result.call = last.report.tags.empty() ? call->report() : last.report;
    if (!call->remove(request, now)) return miss();
    log_event(Level::info, "delete",
              {{"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"via-branch", request.via_branch}});
    if (call->empty()) {
      finish(call, Call::End::deleted, std::move(last));
    } else {
      schedule.at(call, call->may_end());
    }
    return result;
  };
  return with_call(request, act, miss);
}

Reply Calls::Impl::query(const Request& request) {
  return with_call(request,
                   [](const CallPtr& call) -> Reply { return reply::Query{call->report()}; });
}

Reply Calls::Impl::restrain(const Request& request) {
  return with_call(request, [&](const CallPtr& call) -> Reply {
    if (auto done = call->restrain(request); !done) {
      return refuse(request, std::move(done.error().message));
    }
    log_event(Level::info, name(request.command),
              {{"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"label", request.label}});
    return reply::Done{};
  });
}

// It is in the schedule already, for the case that this fails.
void Calls::Impl::check(const CallPtr& call, Time now) {
  const std::lock_guard lock(call->mutex);
  if (call->gone) return;
  if (watched()) tell_latches(*call);
  const Call::Verdict verdict = call->check(now);
  if (verdict.end) {
    finish(call, *verdict.end, ending(*call));
  } else {
    schedule.set(call, next_look(*call, verdict.next, now));
  }
}

Calls::Calls(const Config& config, Dataplane& dataplane)
    : impl_(std::make_unique<Impl>(config, dataplane)) {}

Calls::~Calls() = default;

Reply Calls::handle(const Request& request, Clock::time_point now) {
  Impl& calls = *impl_;
  const Command counted = request.command != Command::update ? request.command
                          : request.by_reply                 ? Command::answer
                                                             : Command::offer;
  ++calls.commands[static_cast<std::size_t>(counted)];
  const bool has_sdp = request.command == Command::offer || request.command == Command::answer;
  if (const auto missing = missing_key(request)) return calls.refuse(request, *missing);
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
      return calls.query(request);
    case Command::list:
      return reply::List{calls.schedule.call_ids(request.limit, request.hold != Hold::none)};
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
      return calls.restrain(request);
  }
  return reply::Failure{"Unrecognized command"};
}

bool Calls::expire(Clock::time_point now) {
  Impl& calls = *impl_;
  calls.realms.advance(now);
  if (calls.pass_sessions == 0) calls.pass_sessions = calls.sessions.load();
  for (std::size_t i = 0; i < kPortion; ++i) {
    const CallPtr call = calls.schedule.take_due(now, now + kRetry);
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
      if (!call->gone) impl_->finish(call, Call::End::forced, impl_->ending(*call));
    });
  }
  return sessions();
}

std::uint64_t Calls::sessions() const { return impl_->sessions; }

SummaryReport Calls::summary(Clock::time_point now) const {
  const Impl& calls = *impl_;
  SummaryReport report;
  if (!calls.config.interfaces.empty()) {
    const Interface& first = calls.config.interfaces.front();
    report.address = first.advertised.empty() ? first.addresses.front() : first.advertised.front();
  }
  report.draining = calls.draining;
  report.sessions = calls.sessions;
  report.uptime = std::chrono::duration_cast<std::chrono::seconds>(now - calls.started);
  report.bits_per_second = calls.bytes.a_second() * 8;
  calls.schedule.visit([&](const CallPtr& call) {
    const std::lock_guard lock(call->mutex);
    call->count_streams(report.streams);
    return true;
  });
  return report;
}

StatisticsReport Calls::statistics(Clock::time_point now) const {
  const Impl& calls = *impl_;
  const auto ended = [&](Call::End end) {
    return calls.ends[static_cast<std::size_t>(end)].load();
  };
  const auto asked = [&](Command command) {
    return calls.commands[static_cast<std::size_t>(command)].load();
  };
  StatisticsReport report{
      .sessions = calls.sessions,
      .sessions_total = calls.sessions_total,
      .sessions_rejected = calls.rejected,
      .timeouts = ended(Call::End::media_timeout),
      .silent_timeouts = ended(Call::End::silent_timeout),
      .offer_timeouts = ended(Call::End::offer_timeout),
      .final_timeouts = ended(Call::End::final_timeout),
      .deleted = ended(Call::End::deleted),
      .ice_direct = ended(Call::End::ice_direct),
      .offers = asked(Command::offer),
      .answers = asked(Command::answer),
      .deletes = asked(Command::remove),
      .pings = asked(Command::ping),
      .queries = asked(Command::query),
      .lists = asked(Command::list),
      .errors = calls.errors,
      .ports_used = calls.realms.ports_used(),
      .ports_free = calls.realms.ports_free(),
      .uptime = std::chrono::duration_cast<std::chrono::seconds>(now - calls.started),
      .dataplane = {}};
  report.dataplane = calls.dataplane.report();
  for (const WorkerReport& worker : report.dataplane.workers) {
    report.packets += worker.relayed;
    report.bytes += worker.relayed_bytes;
    report.packet_errors +=
        std::accumulate(worker.drops.begin(), worker.drops.end(), std::uint64_t{0});
  }
  return report;
}

}  // namespace millrace

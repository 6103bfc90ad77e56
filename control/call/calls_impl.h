// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared by calls.cc and calls_report.cc: the table, the schedule and the counters.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <tbb/concurrent_hash_map.h>

#include "control/call/call.h"
#include "control/call/call_events.h"
#include "control/call/call_log.h"
#include "control/call/call_schedule.h"
#include "control/call/calls.h"
#include "control/call/ended_dialogs.h"
#include "control/call/speed.h"
#include "control/log.h"
#include "control/ports/realm.h"

namespace millrace {

struct Calls::Impl {
  using Time = Clock::time_point;
  using Counter = std::atomic<std::uint64_t>;
  static constexpr std::uint64_t kMassEnd = 20;  // timeouts per second, and a tenth of all calls
  static constexpr auto kLatchInterval = std::chrono::seconds(1);
  static constexpr auto kRetry = std::chrono::seconds(1);  // after a check that failed
  static constexpr std::array<std::string_view, 7> kEndNames = {
      "media-timeout", "silent-timeout",  "offer-timeout", "final-timeout",
      "deleted",       "ice-direct-path", "forced"};
  // Normal end: no notification.
  static bool expected(End end) { return end == End::deleted || end == End::ice_direct; }

  using Table = tbb::concurrent_hash_map<std::string_view, CallPtr>;  // by Call::id()

  const Config& config;
  Dataplane& dataplane;
  Realms realms;  // outlives the calls, which return their ports to it
  const CallContext context{config.timeouts, config.limits, realms};
  Table table;
  CallSchedule schedule;
  EndedDialogs ended_dialogs;
  const Time started = Clock::now();
  std::atomic<bool> draining = false;
  const std::uint64_t port_pairs;  // also the limit of calls if limits.calls is 0
  const bool readers;              // any [[notify]] of type `events`
  EventOutlet outlet;

  Speed bytes{kSpeedPeriod, started};  // relayed by workers

  // Of the current expire() pass, which may take several portions.
  Counter pass_sessions = 0, pass_timeouts = 0;

  Counter sessions = 0, sessions_total = 0, answered_total = 0, rejected = 0, errors = 0;
  std::array<Counter, kEndNames.size()> ends{};  // by End
  std::array<Counter, kCommands> commands{};     // by Command

  Impl(const Config& settings, Dataplane& packets)
      : config(settings),
        dataplane(packets),
        realms(settings),
        port_pairs(realms.ports_free() / 2),
        readers(std::ranges::any_of(settings.notify, [](const Notify& notify) {
          return notify.type == NotifyType::events;
        })) {}

  [[nodiscard]] CallPtr find(std::string_view call_id) const {
    Table::const_accessor found;
    return table.find(found, call_id) ? found->second : nullptr;
  }

  // The call, created if missing; null if the limit of calls is reached.
  [[nodiscard]] CallPtr find_or_make(const Request& request) {
    if (CallPtr call = find(request.call_id)) return call;
    const std::uint64_t others = sessions.fetch_add(1);
    if (draining || others >= (config.limits.calls != 0 ? config.limits.calls : port_pairs)) {
      --sessions;
      return nullptr;
    }
    try {
      const auto made = std::make_shared<Call>(request.call_id, context, dataplane);
      Table::const_accessor found;
      if (!table.insert(found, {made->id(), made})) --sessions;  // another thread was faster
      return found->second;
    } catch (...) {
      --sessions;
      throw;
    }
  }

  // Precondition: the call's lock is held.
  void erase(const CallPtr& call) {
    call->gone = true;
    call->clear();
    schedule.forget(call);
    table.erase(call->id());
    --sessions;
  }

  // As much of it as somebody reads.
  [[nodiscard]] event::End ending(const Call& call, End end, Time now) const {
    event::End last;
    if (watched() || (outlet && !expected(end))) last = millrace::ending(call.state());
    if (readers || log_enabled(Level::info)) last.report = call.report(now);
    return last;
  }

  // `last` is its ending() before it lost its dialogs.
  void finish(const CallPtr& call, End end, event::End last) {
    erase(call);
    const auto reason = static_cast<std::size_t>(end);
    ++ends[reason];
    log_end(call->id(), kEndNames[reason], expected(end), last.report);
    const event::End::Dialog tags = last.tags;
    last.reason = kEndNames[reason];
    last.notify_proxy = !expected(end);
    if (last.notify_proxy && end != End::forced) {
      ++pass_timeouts;
      notify(*call, tags, event::Timeout{last.reason});
    }
    if (watched() || last.notify_proxy) notify(*call, tags, std::move(last));
  }

  // Whether all events are published. Without readers only ends with `notify_proxy` are.
  [[nodiscard]] bool watched() const { return outlet && readers; }
  // A failure to publish an event drops the event. The request that caused it still succeeds.
  void notify(const Call& call, const event::End::Dialog& tags, decltype(Event::what) what) const {
    if (!outlet) return;
    guarded(call, [&] {
      outlet({.time = std::chrono::system_clock::now(),
              .call_id = std::string(call.id()),
              .from_tag = tags.from_tag,
              .to_tag = tags.to_tag,
              .what = std::move(what)});
    });
  }
  void notify(const Call& call, decltype(Event::what) what) const {
    if (watched()) notify(call, tags_of(call.state()), std::move(what));
  }
  // After an offer or answer. `answered`: the call was answered before.
  void notify_progress(Call& call, bool fresh, bool answered) {
    if (!answered && call.state().answered()) ++answered_total;
    guarded(call, [&] {
      if (fresh) notify(call, event::Start{});
      if (!answered && call.state().answered()) notify(call, event::Answered{});
      if (const auto hold = call.hold_changed()) {
        *hold ? notify(call, event::Hold{}) : notify(call, event::Resume{});
      }
    });
  }
  void notify_latches(Call& call) const {
    guarded(call, [&] {
      for (event::Latched& latched : call.new_latches()) notify(call, std::move(latched));
    });
  }
  // After an offer or answer. An earlier check that is scheduled already stays, and finds the call
  // alive. Precondition: the call's lock is held.
  void schedule_check(const CallPtr& call, bool fresh, Time now) {
    const Time next = next_check(*call, call->may_end(), now);
    fresh ? schedule.set(call, next) : schedule.at(call, next);
  }
  [[nodiscard]] Time next_check(const Call& call, Time next, Time now) const {
    return watched() && awaits_latch(call.state(), now) ? std::min(next, now + kLatchInterval)
                                                        : next;
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

  // Runs `act` on the call that `request` names, under its lock, or `miss` if there is none.
  template <typename Act, typename Miss>
  [[nodiscard]] Reply with_call(const Request& request, Act&& act, Miss&& miss) const {
    const CallPtr call = find(request.call_id);
    if (!call) return miss();
    const std::lock_guard lock(call->mutex);
    return call->empty() ? miss() : act(call);
  }
  template <typename Act>
  [[nodiscard]] Reply with_call(const Request& request, Act&& act) {
    return with_call(request, act,
                     [&] { return refuse(request, std::string(reason::kUnknownCall)); });
  }

  [[nodiscard]] std::uint64_t relayed_bytes() const;
  [[nodiscard]] Reply limit_reached(const Request& request);
  void out_of_ports();
  [[nodiscard]] UnansweredPorts unanswered() const;
  [[nodiscard]] Reply offer(const Request& request, Time now);
  [[nodiscard]] Reply answer(const Request& request, Time now);
  [[nodiscard]] Reply trickle(const Request& request, Time now);
  [[nodiscard]] Reply remove(const Request& request, Time now);
  [[nodiscard]] Reply query(const Request& request, Time now);
  [[nodiscard]] Reply set_blocking(const Request& request, Time now);
  void check(const CallPtr& call, Time now);
  void log_mass_end();
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/calls.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <tbb/concurrent_hash_map.h>

#include "control/call.h"
#include "control/log.h"
#include "control/named_media.h"
#include "control/realm.h"
#include "control/sdp.h"

namespace millrace {
namespace {

using CallPtr = std::shared_ptr<Call>;
using Time = Calls::Clock::time_point;
using Counter = std::atomic<std::uint64_t>;

constexpr std::string_view kSessionLimit = "Parallel session limit reached";
constexpr std::string_view kOutOfPorts = "Ran out of ports";
constexpr std::string_view kNoMatch = "Call-ID not found or tags didn't match";
constexpr std::string_view kUnknownCall = "Unknown call-id";

constexpr std::array<std::string_view, 5> kEndNames = {"media-timeout", "silent-timeout",
                                                       "offer-timeout", "final-timeout", "deleted"};

// What an offer or answer says of its medias, by SDP or by their names.
Result<sdp::Session> read_medias(const Request& request) {
  if (!request.medias.empty() || request.command == Command::update) {
    return name_medias(request.medias);
  }
  auto session = sdp::parse(request.sdp);
  if (!session) return fail("Failed to parse SDP: " + session.error().message);
  return session;
}

// When each call is to be looked at next, and so a list of all calls: the table cannot be walked
// while others change it, and walking 100,000 calls a second to find three would be waste.
class Schedule {
 public:
  // Looks at `call` at `when`, or earlier if that was asked for before.
  void at(const CallPtr& call, Time when) {
    const std::lock_guard lock(mutex_);
    if (const auto before = call->scheduled) {
      if (*before <= when) return;
      entries_.erase({*before, call});
    }
    call->scheduled = when;
    entries_.emplace(when, call);
  }

  void forget(const CallPtr& call) {
    const std::lock_guard lock(mutex_);
    if (const auto before = call->scheduled) entries_.erase({*before, call});
    call->scheduled.reset();
  }

  // The calls that are due, which leave the schedule.
  [[nodiscard]] std::vector<CallPtr> take_due(Time now) {
    std::vector<CallPtr> due;
    const std::lock_guard lock(mutex_);
    while (!entries_.empty() && entries_.begin()->first <= now) {
      due.push_back(entries_.begin()->second);
      due.back()->scheduled.reset();
      entries_.erase(entries_.begin());
    }
    return due;
  }

  [[nodiscard]] std::vector<std::string> call_ids(std::size_t limit) const {
    std::vector<std::string> ids;
    const std::lock_guard lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end() && ids.size() < limit; ++it) {
      ids.push_back(it->second->id());
    }
    return ids;
  }

 private:
  mutable std::mutex mutex_;
  std::set<std::pair<Time, CallPtr>> entries_;
};

}  // namespace

struct Calls::Impl {
  using Table = tbb::concurrent_hash_map<std::string, CallPtr>;

  const Config& config;
  Dataplane& dataplane;
  Realms realms;  // outlives the calls, whose ports go back there
  Table table;
  Schedule schedule;
  const Time started = Clock::now();
  std::atomic<bool> draining = false;

  Counter sessions = 0, sessions_total = 0, rejected = 0, errors = 0;
  std::array<Counter, kEndNames.size()> ends{};  // by Call::End
  std::array<Counter, 8> commands{};             // by Command

  Impl(const Config& settings, Dataplane& packets)
      : config(settings), dataplane(packets), realms(settings) {}

  [[nodiscard]] CallPtr find(std::string_view call_id) const {
    Table::const_accessor found;
    return table.find(found, std::string(call_id)) ? found->second : nullptr;
  }

  // The call, made if need be; null if no further one is allowed.
  [[nodiscard]] CallPtr find_or_make(std::string_view call_id, Time now) {
    if (CallPtr call = find(call_id)) return call;
    const std::uint64_t others = sessions.fetch_add(1);
    if (draining || (config.limits.calls != 0 && others >= config.limits.calls)) {
      --sessions;
      return nullptr;
    }
    const auto made = std::make_shared<Call>(call_id, config.timeouts, realms, dataplane, now);
    Table::const_accessor found;
    if (!table.insert(found, {made->id(), made})) --sessions;  // another thread was faster
    return found->second;
  }

  // Precondition: the call's lock is held.
  void leave(const CallPtr& call) {
    call->gone = true;
    call->clear();
    schedule.forget(call);
    table.erase(call->id());
    --sessions;
  }

  void finish(const CallPtr& call, Call::End end) {
    const auto reason = static_cast<std::size_t>(end);
    ++ends[reason];
    log_event(end == Call::End::deleted ? Level::info : Level::warning, kEndNames[reason],
              {{"call-id", call->id()}});
    leave(call);
  }

  [[nodiscard]] Reply refuse(const Request& request, std::string_view command, std::string reason) {
    log_event(Level::warning, "refused",
              {{"command", command},
               {"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"reason", reason}});
    ++errors;
    return reply::Failure{std::move(reason)};
  }

  [[nodiscard]] Reply limit_reached(const Request& request);
  [[nodiscard]] Reply offer(const Request& request, Time now);
  [[nodiscard]] Reply answer(const Request& request, Time now);
  [[nodiscard]] Reply remove(const Request& request, Time now);
  [[nodiscard]] Reply query(const Request& request);
};

Reply Calls::Impl::limit_reached(const Request& request) {
  ++rejected;
  if (!request.supports_load_limit) return refuse(request, "offer", std::string(kSessionLimit));
  log_event(Level::warning, "load-limit",
            {{"call-id", request.call_id}, {"from-tag", request.from_tag}});
  return reply::LoadLimit{std::string(kSessionLimit)};
}

Reply Calls::Impl::offer(const Request& request, Time now) {
  const bool update = request.command == Command::update;
  const std::string_view name = update ? "update" : "offer";
  const auto session = read_medias(request);
  if (!session) return refuse(request, name, session.error().message);
  for (;;) {
    const CallPtr call = find_or_make(request.call_id, now);
    if (!call) return limit_reached(request);
    const std::lock_guard lock(call->mutex);
    if (call->gone) continue;
    const bool fresh = call->empty(), answered = call->answered();
    auto told = update ? call->update(request, *session, now) : call->offer(request, *session, now);
    if (!told) {
      if (call->empty()) leave(call);
      if (told.error().message == kOutOfPorts) ++rejected;
      return refuse(request, name, std::move(told.error().message));
    }
    if (fresh) ++sessions_total;
    schedule.at(call, call->may_end());
    log_event(Level::info, !update && answered ? "reoffer" : name,
              {{"call-id", request.call_id},
               {"from-tag", request.from_tag},
               {"to-tag", request.to_tag},
               {"via-branch", request.via_branch},
               {"medias", session->medias.size()}});
    return std::move(*told);
  }
}

Reply Calls::Impl::answer(const Request& request, Time now) {
  const auto session = read_medias(request);
  if (!session) return refuse(request, "answer", session.error().message);
  const CallPtr call = find(request.call_id);
  if (!call) return refuse(request, "answer", std::string(kUnknownCall));
  const std::lock_guard lock(call->mutex);
  if (call->empty()) return refuse(request, "answer", std::string(kUnknownCall));
  auto told = call->answer(request, *session, now);
  if (!told) return refuse(request, "answer", std::move(told.error().message));
  schedule.at(call, call->may_end());
  log_event(Level::info, "answer",
            {{"call-id", request.call_id},
             {"from-tag", request.from_tag},
             {"to-tag", request.to_tag},
             {"via-branch", request.via_branch},
             {"medias", session->medias.size()}});
  return std::move(*told);
}

Reply Calls::Impl::remove(const Request& request, Time now) {
  const auto miss = [&]() -> Reply {
    if (request.fatal) return refuse(request, "delete", std::string(kNoMatch));
    return reply::Deleted{.call = std::nullopt, .warning = std::string(kNoMatch)};
  };
  const CallPtr call = find(request.call_id);
  if (!call) return miss();
  const std::lock_guard lock(call->mutex);
  if (call->empty()) return miss();
  reply::Deleted result;
  if (!request.fast) result.call = call->report();
  if (!call->remove(request, now)) return miss();
  log_event(Level::info, "delete",
            {{"call-id", request.call_id},
             {"from-tag", request.from_tag},
             {"to-tag", request.to_tag},
             {"via-branch", request.via_branch}});
  if (call->empty()) {
    finish(call, Call::End::deleted);
  } else {
    schedule.at(call, call->may_end());
  }
  return result;
}

Reply Calls::Impl::query(const Request& request) {
  const CallPtr call = find(request.call_id);
  if (!call) return refuse(request, "query", std::string(kUnknownCall));
  const std::lock_guard lock(call->mutex);
  if (call->empty()) return refuse(request, "query", std::string(kUnknownCall));
  return reply::Query{call->report()};
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
  const bool sets_up = has_sdp || request.command == Command::update;
  const bool names_call =
      sets_up || request.command == Command::remove || request.command == Command::query;
  if (has_sdp && request.sdp.empty() && request.medias.empty())
    return calls.refuse(request, "", "No SDP body in message");
  if (names_call && request.call_id.empty()) {
    return calls.refuse(request, "", "No call-id in message");
  }
  if (sets_up && request.from_tag.empty()) {
    return calls.refuse(request, "", "No from-tag in message");
  }
  switch (request.command) {
    case Command::ping:
      return reply::Pong{};
    case Command::offer:
    case Command::update:
      return calls.offer(request, now);
    case Command::answer:
      if (request.to_tag.empty()) return calls.refuse(request, "answer", "No to-tag in message");
      return calls.answer(request, now);
    case Command::remove:
      return calls.remove(request, now);
    case Command::query:
      return calls.query(request);
    case Command::list:
      return reply::List{calls.schedule.call_ids(request.limit)};
    case Command::statistics:
      return reply::Statistics{statistics(now)};
  }
  return reply::Failure{"Unrecognized command"};
}

void Calls::expire(Clock::time_point now) {
  Impl& calls = *impl_;
  calls.realms.advance(now);
  for (const CallPtr& call : calls.schedule.take_due(now)) {
    const std::lock_guard lock(call->mutex);
    if (call->gone) continue;
    const Call::Verdict verdict = call->check(now);
    if (verdict.end) {
      calls.finish(call, *verdict.end);
    } else {
      calls.schedule.at(call, verdict.next);
    }
  }
}

void Calls::drain() {
  impl_->draining = true;
  log_event(Level::info, "draining", {{"calls", sessions()}});
}

std::uint64_t Calls::sessions() const { return impl_->sessions; }

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

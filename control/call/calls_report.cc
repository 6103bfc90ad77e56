// SPDX-License-Identifier: BSD-3-Clause
#include <numeric>

#include "control/call/call_report.h"
#include "control/call/calls_impl.h"

namespace millrace {

std::uint64_t Calls::Impl::relayed_bytes() const {
  std::uint64_t sum = 0;
  for (const WorkerReport& worker : dataplane.report().workers) sum += worker.relayed_bytes;
  return sum;
}

UnansweredPorts Calls::Impl::unanswered() const {
  const OffersBySource::Report report = realms.offers().report();
  UnansweredPorts result{.all = report.all, .most = {}};
  for (const auto& [address, ports] : report.most) result.most.push_back({address, ports});
  return result;
}

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
  report.bits_per_second = calls.bytes.per_second() * 8;
  calls.schedule.visit([&](const CallPtr& call) {
    const std::lock_guard lock(call->mutex);
    count_streams(call->state(), report.streams);
    return true;
  });
  return report;
}

StatisticsReport Calls::statistics(Clock::time_point now) const {
  const Impl& calls = *impl_;
  const auto ended = [&](End end) { return calls.ends[static_cast<std::size_t>(end)].load(); };
  const auto received = [&](Command command) {
    return calls.commands[static_cast<std::size_t>(command)].load();
  };
  StatisticsReport report{
      .sessions = calls.sessions,
      .sessions_total = calls.sessions_total,
      .sessions_answered = calls.answered_total,
      .sessions_rejected = calls.rejected,
      .timeouts = ended(End::media_timeout),
      .silent_timeouts = ended(End::silent_timeout),
      .offer_timeouts = ended(End::offer_timeout),
      .final_timeouts = ended(End::final_timeout),
      .deleted = ended(End::deleted),
      .ice_direct = ended(End::ice_direct),
      .offers = received(Command::offer),
      .answers = received(Command::answer),
      .deletes = received(Command::remove),
      .pings = received(Command::ping),
      .queries = received(Command::query),
      .lists = received(Command::list),
      .errors = calls.errors,
      .ports_used = calls.realms.ports_used(),
      .ports_free = calls.realms.ports_free(),
      .ports_unanswered = calls.unanswered(),
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

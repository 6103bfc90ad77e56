// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// All calls: carries out requests, ends calls by timeout, counts (call.h describes one call).
//
// Theory of operation. Calls live in a concurrent hash map by Call-ID (oneTBB) and are independent:
// every request finds its call, releases the map and locks that call only. A schedule holds each
// call once, at the earliest time it could end, so that a timer that runs once a second touches
// only calls that are due. A call with flowing media is checked about once a minute. An ended call
// is marked gone and erased from the map under its own lock. A thread that waited for the lock sees
// the mark and repeats the lookup. handle() never blocks on the data plane, on a log or on the
// network.

#include <chrono>
#include <cstdint>
#include <memory>

#include "control/command/reply.h"
#include "control/command/report.h"
#include "control/command/request.h"
#include "control/config/config.h"
#include "control/notify/event.h"
#include "dataplane/dataplane.h"

namespace millrace {

class Calls {
 public:
  using Clock = std::chrono::steady_clock;

  // `config` and `dataplane` must outlive it.
  Calls(const Config& config, Dataplane& dataplane);
  ~Calls();  // withdraws everything
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  // Publishes events to `outlet`, which is called under a call's lock and must not block. Call it
  // before the first request.
  void publish_events(EventOutlet outlet);

  // Carries out one request. Thread-safe; never throws because of a request's content.
  [[nodiscard]] Reply handle(const Request& request, Clock::time_point now);

  // Ends calls by their timeouts and carries out delayed deletes; call it once a second. True: at
  // least kPortion calls were due. Call it again after the pending events are sent.
  [[nodiscard]] bool expire(Clock::time_point now);

  // Refuses new calls ("load limit"). Existing calls continue.
  void drain();
  // Refuses new calls and ends up to kPortion existing ones; returns how many are left.
  [[nodiscard]] std::uint64_t end_portion();
  static constexpr std::size_t kPortion = 250;

  [[nodiscard]] StatisticsReport statistics(Clock::time_point now) const;

  // Visits every call.
  [[nodiscard]] SummaryReport summary(Clock::time_point now) const;
  static constexpr std::chrono::seconds kSpeedPeriod{15};
  [[nodiscard]] std::uint64_t sessions() const;  // calls now

 private:
  struct Impl;

  [[nodiscard]] Reply execute(const Request& request, Clock::time_point now);

  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// All calls: the one place where offers and answers become flows (call.h tells what a call is).
//
// Theory of operation. Calls live in a concurrent hash map by Call-ID (oneTBB) and are independent:
// every request finds its call, lets go of the map and locks that call only. A schedule holds each
// call once, at the earliest time it could end, so that a timer that looks once a second touches
// only calls that are due; a call whose media flows is looked at about once a minute.
// A call that is over is marked gone and leaves the map under its own lock: who still waits for it
// finds it gone and looks again. handle() never blocks on the data plane, on a log or on the
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

  // From now on tells what happens, under a call's lock: `outlet` must not block. Before the first
  // request.
  void publish_events(EventOutlet outlet);

  // Carries out one request. Thread-safe; never throws for what a request holds.
  [[nodiscard]] Reply handle(const Request& request, Clock::time_point now);

  // Ends calls by their timeouts and carries out delayed deletes; call it once a second. True: at
  // least kPortion calls were due. Call it again, after the events so far have left.
  [[nodiscard]] bool expire(Clock::time_point now);

  // New calls are refused ("load limit") from now on; existing ones go on.
  void drain();
  // Refuses new calls and ends up to kPortion of those there are; returns how many are left.
  [[nodiscard]] std::uint64_t end_portion();
  static constexpr std::size_t kPortion = 250;

  [[nodiscard]] StatisticsReport statistics(Clock::time_point now) const;

  // Visits every call.
  [[nodiscard]] SummaryReport summary(Clock::time_point now) const;
  static constexpr std::chrono::seconds kSpeedPeriod{15};
  [[nodiscard]] std::uint64_t sessions() const;  // calls now

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

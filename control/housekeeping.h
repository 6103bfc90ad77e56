// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The daemon's periodic work: a list of steps, run in order once per period.
//
// The timer is re-armed before the first step, and each step has its own try block. A step that
// throws is logged; the other steps and all later ticks still run, so that the watchdog, timeouts
// and delayed deletes survive a fault in one of them.

#include <chrono>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

namespace millrace {

class Housekeeping {
 public:
  struct Step {
    std::string_view name;  // for the log
    std::function<void()> run;
  };

  Housekeeping(asio::io_context& io, std::chrono::milliseconds period, std::vector<Step> steps)
      : period_(period), steps_(std::move(steps)), timer_(io) {}

  // Schedules the first tick, after one period. Steps run in the thread that runs `io`.
  void start() { schedule_tick(); }

 private:
  void schedule_tick();

  const std::chrono::milliseconds period_;
  const std::vector<Step> steps_;
  asio::steady_timer timer_;
};

}  // namespace millrace

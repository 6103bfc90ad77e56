// SPDX-License-Identifier: BSD-3-Clause
// Control plane only: calls without media, at the relay's maximum rate.

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "perf/load/modes.h"
#include "perf/load/progress.h"
#include "perf/load/relay_process.h"

namespace millrace::loadgen {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr unsigned kRefusals = 100;  // consecutive refusals that end the measurement

double seconds(nanoseconds time) { return static_cast<double>(time.count()) / 1e9; }

std::optional<Usage> usage(const Options& options) {
  if (options.relay_pid == 0) return std::nullopt;
  const auto now = usage_of(options.relay_pid);
  return now ? std::optional<Usage>(*now) : std::nullopt;
}

// One call per outstanding request. Each call is offered, answered and deleted repeatedly.
class Cycles {
 public:
  explicit Cycles(Signalling& signalling, std::size_t calls)
      : signalling_(signalling), calls_(calls) {}

  void start() {
    for (std::uint32_t call = 0; call < calls_; ++call) signalling_.offer(call);
  }
  // Runs until `end`, or until kRefusals consecutive refusals.
  void run(Clock::time_point end, Progress& progress) {
    while (!interrupted() && refused_in_a_row_ < kRefusals) {
      for (const auto& event : signalling_.poll(milliseconds(10))) take(event);
      const Clock::time_point now = Clock::now();
      if (now >= end) break;
      progress.show(now, [this] { return fmt::format("{} calls set up and ended", done_); });
    }
  }
  void stop() {
    stopped_ = true;
    while (!signalling_.idle()) {
      for (const auto& event : signalling_.poll(milliseconds(10))) take(event);
    }
  }
  [[nodiscard]] std::uint64_t done() const { return done_; }
  [[nodiscard]] bool given_up() const { return refused_in_a_row_ >= kRefusals; }

 private:
  void take(const Signalling::Event& event) {
    if (event.kind == Signalling::Kind::up) {
      refused_in_a_row_ = 0;
      return signalling_.remove(event.call);
    }
    if (event.kind == Signalling::Kind::removed) {
      ++done_;
    } else {
      ++refused_in_a_row_;
    }
    if (!stopped_) signalling_.offer(event.call);
  }

  Signalling& signalling_;
  std::size_t calls_;
  std::uint64_t done_ = 0;
  unsigned refused_in_a_row_ = 0;
  bool stopped_ = false;
};

}  // namespace

Result<Outcome> measure_control(const Options& options) {
  auto opened = open_signalling(options, options.outstanding);
  if (!opened) return std::unexpected(opened.error());
  Signalling& signalling = *opened;
  Progress progress(to_nanos(options.warm_up + options.duration));
  Cycles cycles(signalling, options.outstanding);
  cycles.start();
  cycles.run(Clock::now() + to_nanos(options.warm_up), progress);

  signalling.tally() = SignallingTally();
  const std::uint64_t done_before = cycles.done();
  const auto before = usage(options);
  const Clock::time_point begin = Clock::now();
  cycles.run(begin + to_nanos(options.duration), progress);
  const double lasted = seconds(Clock::now() - begin);
  const std::uint64_t done = cycles.done() - done_before;
  const auto after = usage(options);
  const SignallingTally tally = signalling.tally();
  cycles.stop();
  if (cycles.given_up()) {
    return fail("the relay refuses calls: " + signalling.last_refusal());
  }

  progress.finish();
  const double rate = static_cast<double>(done) / lasted;
  Json json = {{"complete", !interrupted()},
               {"seconds", lasted},
               {"cycles", done},
               {"cycles_per_second", rate},
               {"retransmissions", signalling.retransmissions()},
               {"signalling", to_json(tally)}};
  fmt::print(
      "{} calls offered, answered and deleted in {:.1f} s: {:.0f} per second, {} outstanding\n",
      done, lasted, rate, options.outstanding);
  fmt::print("{}", to_text(tally));
  if (before && after && done > 0) {
    const Usage used = *after - *before;
    const auto each = [done](nanoseconds time) {
      return static_cast<double>(time.count()) / 1000 / static_cast<double>(done);
    };
    json["relay"] = to_json(used, lasted);
    json["relay"]["cpu_us_per_cycle"] = each(used.total());
    json["relay"]["cpu_us_per_cycle_without_workers"] = each(used.without_workers());
    fmt::print(
        "relay             {:.1f} us CPU per call ({:.1f} us without polling workers), {:.1f} MB\n",
        each(used.total()), each(used.without_workers()),
        static_cast<double>(used.resident_kb) / 1024);
  }
  return Outcome{std::move(json)};
}

Result<Outcome> measure_fill(const Options& options) {
  auto opened = open_signalling(options, options.calls);
  if (!opened) return std::unexpected(opened.error());
  Signalling& signalling = *opened;
  const auto paced = options.calls_per_second;
  Progress progress(to_nanos(paced > 0 ? static_cast<double>(options.calls) / paced : 1));
  const auto before = usage(options);
  const Clock::time_point begin = Clock::now();
  std::vector<bool> up(options.calls, false);
  std::size_t offered = 0, settled = 0;
  while (settled < offered ||
         (offered < options.calls && !interrupted() && signalling.tally().refused < kRefusals)) {
    const Clock::time_point now = Clock::now();
    const std::size_t due =
        paced > 0 ? static_cast<std::size_t>(seconds(now - begin) * paced) + 1 : options.calls;
    // Queue no more than can be sent soon.
    while (offered <
               std::min({due, options.calls, settled + std::size_t{2} * options.outstanding}) &&
           signalling.tally().refused < kRefusals && !interrupted()) {
      signalling.offer(static_cast<std::uint32_t>(offered++));
    }
    for (const auto& event : signalling.poll(milliseconds(1))) {
      up[event.call] = event.kind == Signalling::Kind::up;
      ++settled;
    }
    progress.show(now, [&] { return fmt::format("{} of {} calls up", settled, options.calls); });
  }
  const double set_up = seconds(Clock::now() - begin);
  const std::uint64_t calls = signalling.tally().up;
  const auto full = usage(options);

  const Clock::time_point removal = Clock::now();
  for (std::uint32_t call = 0; call < offered; ++call) {
    if (up[call]) signalling.remove(call);
  }
  while (!signalling.idle()) static_cast<void>(signalling.poll(milliseconds(10)));
  const double removed = seconds(Clock::now() - removal);
  progress.finish();
  if (calls == 0) return fail("the relay refuses calls: " + signalling.last_refusal());

  Json json = {{"complete", !interrupted()},
               {"calls", calls},
               {"set_up_s", set_up},
               {"set_up_calls_per_second", static_cast<double>(calls) / set_up},
               {"removed_s", removed},
               {"signalling", to_json(signalling.tally())}};
  fmt::print("{} calls set up in {:.2f} s ({:.0f} per second), removed in {:.2f} s\n", calls,
             set_up, static_cast<double>(calls) / set_up, removed);
  fmt::print("{}", to_text(signalling.tally()));
  if (before && full) {
    const auto grown =
        static_cast<double>(full->resident_kb) - static_cast<double>(before->resident_kb);
    const auto after = usage(options);
    json["relay"] = to_json(*full - *before, set_up);
    json["relay"]["resident_kb_before"] = before->resident_kb;
    json["relay"]["resident_kb_after_removal"] = after ? after->resident_kb : 0;
    json["relay"]["resident_kb_per_call"] = grown / static_cast<double>(calls);
    fmt::print("relay             {:.2f} kB per call: {:.1f} MB before, {:.1f} MB with all\n",
               grown / static_cast<double>(calls), static_cast<double>(before->resident_kb) / 1024,
               static_cast<double>(full->resident_kb) / 1024);
  }
  return Outcome{std::move(json), calls == options.calls};
}

}  // namespace millrace::loadgen

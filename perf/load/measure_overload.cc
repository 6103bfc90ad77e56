// SPDX-License-Identifier: BSD-3-Clause
// Overload: the same calls at a multiple of their packet rate for --flood seconds, then at the
// normal rate.
//
// One time series by send time has three phases: before, flood, after. Goodput is packets received
// per second. The relay has recovered at the first step from which no step to the end has loss.

#include <algorithm>

#include <fmt/format.h>

#include "perf/load/modes.h"

namespace millrace::loadgen {
namespace {

constexpr std::chrono::milliseconds kStep{20};

struct Phase {
  std::size_t begin = 0, end = 0;  // steps
  std::uint64_t sent = 0, received = 0;

  [[nodiscard]] double seconds() const {
    return static_cast<double>(end - begin) * std::chrono::duration<double>(kStep).count();
  }
  [[nodiscard]] double rate(std::uint64_t packets) const {
    return seconds() > 0 ? static_cast<double>(packets) / seconds() : 0;
  }
};

Phase phase(const Series& series, double from, double until) {
  const double width = std::chrono::duration<double>(kStep).count();
  const auto& steps = series.steps();
  Phase phase;
  phase.begin = std::min(static_cast<std::size_t>(from / width), steps.size());
  phase.end = std::min(static_cast<std::size_t>(until / width), steps.size());
  for (std::size_t i = phase.begin; i < phase.end; ++i) {
    phase.sent += steps[i].sent;
    phase.received += steps[i].received;
  }
  return phase;
}

// Seconds from the phase's start to the end of loss. Nothing if its last step has loss.
std::optional<double> recovery(const Series& series, const Phase& after) {
  std::size_t clean = after.end;
  while (clean > after.begin &&
         series.steps()[clean - 1].received == series.steps()[clean - 1].sent) {
    --clean;
  }
  if (clean == after.end) return std::nullopt;
  return static_cast<double>(clean - after.begin) * std::chrono::duration<double>(kStep).count();
}

Json to_json(const Phase& phase) {
  return {{"seconds", phase.seconds()},
          {"sent_pps", phase.rate(phase.sent)},
          {"goodput_pps", phase.rate(phase.received)},
          {"loss_percent", phase.sent == 0 ? 0
                                           : 100 - 100 * static_cast<double>(phase.received) /
                                                       static_cast<double>(phase.sent)}};
}

}  // namespace

Result<Outcome> measure_overload(const Options& options) {
  auto opened = Load::open(options, options.calls);
  if (!opened) return std::unexpected(opened.error());
  Load& load = **opened;
  const double whole = 2 * options.duration + options.flood;
  Progress progress(to_nanos(options.warm_up + whole));
  if (const auto up = load.set_calls(options.calls, progress); !up) {
    load.end(progress);
    return fail("the relay refuses calls: " + up.error().message);
  }
  load.run(to_nanos(options.warm_up), progress);
  // The rate changes at fixed times within the measurement.
  const auto begin = Load::Clock::now();
  load.change_pace(begin + to_nanos(options.duration), options.factor);
  load.change_pace(begin + to_nanos(options.duration + options.flood), 1 / options.factor);
  const Measurement measured = load.measure(to_nanos(whole), progress, kStep);
  load.end(progress);
  progress.finish();
  if (measured.sent() == 0 && !load.trouble().empty()) return fail(load.trouble());

  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): measure() was asked for steps
  const Series& series = *measured.tally.series;
  const Phase before = phase(series, 0, options.duration);
  // The step in which the rate changed belongs to neither phase.
  const double width = std::chrono::duration<double>(kStep).count();
  const Phase flood =
      phase(series, options.duration + width, options.duration + options.flood - width);
  const Phase after = phase(series, options.duration + options.flood + width, measured.seconds);
  const auto recovered = recovery(series, after);

  const double goodput =
      before.received > 0 ? flood.rate(flood.received) / before.rate(before.received) : 0;
  Json json = loadgen::to_json(measured);
  json["overload"] = {{"factor", options.factor},
                      {"before", to_json(before)},
                      {"flood", to_json(flood)},
                      {"after", to_json(after)},
                      {"goodput_flood_to_before", goodput},
                      {"recovery_s", recovered ? Json(*recovered) : Json()}};
  for (const auto& [what, p] :
       {std::pair("before", before), std::pair("flood", flood), std::pair("after", after)}) {
    fmt::print("{:<18}{:>10.0f} packets/s sent {:>10.0f} received\n", what, p.rate(p.sent),
               p.rate(p.received));
  }
  if (recovered) {
    fmt::print("recovered         {:.2f} s after the flood\n", *recovered);
  } else {
    fmt::print("recovered         not within {:.1f} s\n", after.seconds());
  }
  fmt::print("{}", to_text(measured));
  return Outcome{std::move(json), recovered.has_value()};
}

}  // namespace millrace::loadgen

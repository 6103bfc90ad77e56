// SPDX-License-Identifier: BSD-3-Clause
// Fixed load, measured for --duration, optionally with transient calls.

#include <cstdio>

#include <fmt/format.h>

#include "perf/load/modes.h"

namespace millrace::loadgen {
Result<Outcome> measure_load(const Options& options) {
  auto opened = Load::open(options, options.calls);
  if (!opened) return std::unexpected(opened.error());
  Load& load = **opened;
  const double set_up = options.calls_per_second > 0
                            ? static_cast<double>(options.calls) / options.calls_per_second
                            : 0.0;
  Progress progress(to_nanos(set_up + options.warm_up + options.duration));
  if (const auto up = load.set_calls(options.calls, progress); !up) {
    load.end(progress);
    return fail("the relay refuses calls: " + up.error().message);
  }
  load.start_transient_calls();
  load.run(to_nanos(options.warm_up), progress);
  const Measurement measured =
      load.measure(to_nanos(options.duration), progress, to_nanos(options.every));
  load.end(progress);
  progress.finish();
  if (measured.sent() == 0 && !load.trouble().empty()) return fail(load.trouble());
  fmt::print("{}", to_text(measured));

  Outcome outcome{to_json(measured)};
  if (options.max_loss && measured.loss() > *options.max_loss) {
    fmt::print("missed: loss {:.4f} % is above {} %\n", measured.loss(), *options.max_loss);
    outcome.met = false;
  }
  const double delay_ms = static_cast<double>(measured.delay().quantile(0.5).count()) / 1e6;
  if (options.max_delay_ms && delay_ms > *options.max_delay_ms) {
    fmt::print("missed: median delay {:.3f} ms is above {} ms\n", delay_ms, *options.max_delay_ms);
    outcome.met = false;
  }
  return outcome;
}

}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The sub-commands. Each one measures, prints its result to stdout and returns it as JSON. `met`:
// whether all required limits were met.

#include "perf/load/dialect.h"
#include "perf/load/options.h"
#include "perf/load/report.h"
#include "perf/load/signalling.h"

namespace millrace::loadgen {

struct Outcome {
  Json json;
  bool met = true;
};

// run, churn and soak
[[nodiscard]] Result<Outcome> measure_load(const Options& options);
[[nodiscard]] Result<Outcome> measure_control(const Options& options);
[[nodiscard]] Result<Outcome> measure_fill(const Options& options);
[[nodiscard]] Result<Outcome> measure_latency(const Options& options);
[[nodiscard]] Result<Outcome> measure_search(const Options& options);
[[nodiscard]] Result<Outcome> measure_overload(const Options& options);

}  // namespace millrace::loadgen

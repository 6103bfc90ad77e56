// SPDX-License-Identifier: BSD-3-Clause
#include <sched.h>

#include <cstdio>
#include <cstring>
#include <exception>

#include <fmt/format.h>

#include "control/version.h"
#include "perf/load/modes.h"
#include "perf/load/options.h"

namespace {

using namespace millrace;
using namespace millrace::loadgen;

Result<Outcome> carry_out(const Options& options) {
  switch (options.mode) {
    case Mode::control:
      return measure_control(options);
    case Mode::fill:
      return measure_fill(options);
    case Mode::latency:
      return measure_latency(options);
    case Mode::search:
      return measure_search(options);
    case Mode::overload:
      return measure_overload(options);
    default:  // run, churn, soak
      return measure_load(options);
  }
}

Result<void> pin(int cpu) {
  if (cpu < 0) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) == 0) return {};
  return fail(fmt::format("--cpu {}: there is no such core for this program", cpu));
}

int run(int argc, char** argv) {
  const auto options = parse_options(argc, argv, version_text("millrace-load"));
  if (!options) {
    std::fputs(options.error().output.c_str(), stdout);
    std::fputs(options.error().error.c_str(), stderr);
    return options.error().status;
  }
  const auto complain = [](const Error& error) {
    fmt::print(stderr, "millrace-load: {}\n", error.message);
    return kExitMissed;
  };
  if (const auto pinned = pin(options->cpu); !pinned) return complain(pinned.error());
  Json json = conditions(*options);
  watch_for_interrupt();
  const auto outcome = carry_out(*options);
  if (!outcome) return complain(outcome.error());
  if (!options->json.empty()) {
    json["met"] = outcome->met;
    json["result"] = outcome->json;
    if (const auto written = write_json(options->json, json); !written) {
      return complain(written.error());
    }
  }
  return outcome->met ? 0 : kExitMissed;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace-load: %s\n", error.what());
    return millrace::loadgen::kExitMissed;
  }
}

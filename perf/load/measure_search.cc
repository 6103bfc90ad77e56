// SPDX-License-Identifier: BSD-3-Clause
// The highest load that a relay carries, by bisection over the number of calls (RFC 2544 section
// 26.1): without loss (NDR), and with at most 0.5 % loss (PDR), as defined by FD.io CSIT.
//
// A virtual machine is preempted now and then: --allow is the number of packets that a trial may
// lose and still count as lossless. A trial in which the generator did not keep up is no result
// about the relay: it bounds the search from above and is marked.

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "perf/load/bisect.h"
#include "perf/load/modes.h"

namespace millrace::loadgen {
namespace {

constexpr double kPartialDrop = 0.5;  // percent
constexpr double kKeptUp = 0.99;      // of the offered load, sent by the generator
constexpr double kSetUpRate = 2000;   // calls per second, to estimate the total time

struct Trial {
  Measurement measured;
  std::string refused;  // the relay's reason, if it refused a call
  bool generator_limited = false;
  std::uint64_t lost = 0;
};

class Search {
 public:
  Search(const Options& options, Load& load, Progress& progress)
      : options_(options), load_(load), progress_(progress) {}

  // The highest number of calls that loses at most `percent`. 0 if none does.
  [[nodiscard]] std::size_t highest(double percent) {
    // Start from the trials so far. A failure below a success is treated as an outlier.
    Bracket known{.good = 0, .bad = SIZE_MAX};
    for (const auto& [calls, trial] : trials_) {
      if (passes(trial, percent)) {
        known = {.good = calls, .bad = SIZE_MAX};
      } else {
        known.bad = std::min(known.bad, calls);
      }
    }
    return bisect(
        known, options_.calls, options_.resolution,
        [&](std::size_t calls) { return passes(trial(calls), percent); },
        [] { return !interrupted(); });
  }

  [[nodiscard]] const std::map<std::size_t, Trial>& trials() const { return trials_; }

 private:
  [[nodiscard]] bool passes(const Trial& trial, double percent) const {
    if (!trial.refused.empty() || trial.generator_limited || trial.measured.sent() == 0) {
      return false;
    }
    const double delay_ms = static_cast<double>(trial.measured.delay().quantile(0.5).count()) / 1e6;
    if (options_.max_delay_ms && delay_ms > *options_.max_delay_ms) return false;
    return trial.lost <= options_.allow || trial.measured.loss() <= percent;
  }

  const Trial& trial(std::size_t calls) {
    const auto known = trials_.find(calls);
    if (known != trials_.end()) return known->second;
    Trial trial;
    if (const auto up = load_.set_calls(calls, progress_); !up) {
      trial.refused = up.error().message;
    } else {
      load_.run(to_nanos(options_.warm_up), progress_);
      trial.measured = load_.measure(to_nanos(options_.duration), progress_);
      const Measurement& m = trial.measured;
      trial.lost = m.tally.directions[0].lost() + m.tally.directions[1].lost();
      trial.generator_limited =
          !m.kept_up() || static_cast<double>(m.sent()) < kKeptUp * m.offered_pps * m.seconds;
    }
    print_trial(calls, trial);
    return trials_.emplace(calls, std::move(trial)).first->second;
  }

  void print_trial(std::size_t calls, const Trial& trial) {
    if (!trial.refused.empty()) {
      progress_.print_line(fmt::format("{:>7} calls: refused: {}", calls, trial.refused));
      return;
    }
    const Histogram delay = trial.measured.delay();
    progress_.print_line(
        fmt::format("{:>7} calls: {} of {} lost ({:.4f} %), delay p50 {}, p99 {}{}", calls,
                    trial.lost, trial.measured.sent(), trial.measured.loss(),
                    to_text(delay.quantile(0.5)), to_text(delay.quantile(0.99)),
                    trial.generator_limited ? "; generator does not keep up" : ""));
  }

  const Options& options_;
  Load& load_;
  Progress& progress_;
  std::map<std::size_t, Trial> trials_;
};

Json describe(const Search& search, const Load& load, std::size_t calls, double percent) {
  Json json = {{"loss_percent_allowed", percent},
               {"calls", calls},
               {"packets_per_second", load.packets_per_second(calls)}};
  const auto above = search.trials().upper_bound(calls);
  json["limited_by"] = above == search.trials().end()    ? "--calls"
                       : above->second.generator_limited ? "generator"
                       : !above->second.refused.empty()  ? "refusal"
                                                         : "relay";
  if (calls > 0) json["measured"] = to_json(search.trials().at(calls).measured);
  return json;
}

}  // namespace

Result<Outcome> measure_search(const Options& options) {
  auto opened = Load::open(options, options.calls);
  if (!opened) return std::unexpected(opened.error());
  Load& load = **opened;
  double trials = 2;
  for (std::size_t span = options.calls; span > options.resolution; span /= 2) ++trials;
  Progress progress(to_nanos(trials * (options.warm_up + options.duration) +
                             2 * static_cast<double>(options.calls) / kSetUpRate));
  Search search(options, load, progress);
  const std::size_t no_drop = search.highest(0);
  const std::size_t partial_drop = search.highest(kPartialDrop);
  load.end(progress);
  progress.finish();
  if (no_drop == 0 && !load.trouble().empty()) return fail(load.trouble());
  if (partial_drop == 0 && !search.trials().empty()) {
    const Trial& lowest = search.trials().begin()->second;
    if (!lowest.refused.empty()) return fail("the relay refuses calls: " + lowest.refused);
  }

  Json json = {{"complete", !interrupted()},
               {"allowance_packets", options.allow},
               {"resolution_calls", options.resolution},
               {"ndr", describe(search, load, no_drop, 0)},
               {"pdr", describe(search, load, partial_drop, kPartialDrop)},
               {"trials", Json::array()}};
  for (const auto& [calls, trial] : search.trials()) {
    const Histogram delay = trial.measured.delay();
    json["trials"].push_back({{"calls", calls},
                              {"refused", trial.refused},
                              {"generator_limited", trial.generator_limited},
                              {"sent", trial.measured.sent()},
                              {"lost", trial.lost},
                              {"delay_us", to_json(delay)}});
  }
  for (const auto& [what, calls] :
       {std::pair("NDR (no loss)", no_drop), std::pair("PDR (0.5 % loss)", partial_drop)}) {
    fmt::print("{:<18}{:>8} calls {:>10.0f} packets/s\n", what, calls,
               load.packets_per_second(calls));
  }
  return Outcome{std::move(json), no_drop > 0};
}

}  // namespace millrace::loadgen

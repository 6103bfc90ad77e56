// SPDX-License-Identifier: BSD-3-Clause
// Latency of single requests, each followed by one to an echo server on the same kind of socket.

#include <chrono>
#include <map>

#include <fmt/format.h>

#include "perf/load/echo.h"
#include "perf/load/modes.h"
#include "perf/load/progress.h"

namespace millrace::loadgen {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array<Verb, 3> kCycle = {Verb::offer, Verb::answer, Verb::remove};

// Blocking client, as a proxy's worker is.
class Asker {
 public:
  explicit Asker(Exchanges exchanges) : exchanges_(std::move(exchanges)) {}

  [[nodiscard]] static Result<Asker> open(const ControlAddress& address, const Dialect& dialect) {
    auto exchanges = Exchanges::open(address, dialect, 1);
    if (!exchanges) return std::unexpected(exchanges.error());
    return Asker(std::move(*exchanges));
  }
  // Returns the reply and adds its round-trip time to `took`.
  [[nodiscard]] Result<std::string> ask(std::string request, Histogram& took) {
    const Clock::time_point begin = Clock::now();
    auto reply = exchanges_.ask(std::move(request));
    if (reply) took.add(Clock::now() - begin);
    return reply;
  }
  [[nodiscard]] bool delimited() const { return exchanges_.delimited(); }

 private:
  Exchanges exchanges_;
};

struct Times {
  std::array<Histogram, kCycle.size()> relay, echo;
};

class Latency {
 public:
  Latency(const Options& options, const Dialect& dialect, Asker relay)
      : options_(options),
        dialect_(&dialect),
        signals_{options.shape, options.rtcp_mux, options.directions},
        relay_(std::move(relay)) {}

  // Offers, answers and deletes one call, and returns the reply to the offer. Repeats each request
  // to `echo`, if it is running.
  [[nodiscard]] Result<std::string> cycle(Asker* echo, Times& times) {
    const std::string serial = std::to_string(++serial_);
    const std::string id = fmt::format("latency-{}-{}@load.millrace", run_, serial);
    std::string first;
    for (std::size_t i = 0; i < kCycle.size(); ++i) {
      const std::size_t sender = kCycle[i] == Verb::answer ? 1 : 0;
      std::string request = dialect_->encode({.verb = kCycle[i],
                                              .call_id = id,
                                              .from_tag = "f" + serial,
                                              .to_tag = "t" + serial,
                                              .sdp_endpoint = options_.parties[sender],
                                              .source = options_.parties[sender].address,
                                              .signals = &signals_,
                                              .delimited = relay_.delimited()});
      auto reply = relay_.ask(request, times.relay[i]);
      if (!reply) return reply;
      if (const auto decoded = dialect_->decode(kCycle[i], *reply); !decoded) {
        return fail(
            fmt::format("the relay refuses: {}: {}", name(kCycle[i]), decoded.error().message));
      }
      if (echo != nullptr) {
        if (auto echoed = echo->ask(std::move(request), times.echo[i]); !echoed) return echoed;
      }
      if (i == 0) first = std::move(*reply);
    }
    return first;
  }

 private:
  const Options& options_;
  const Dialect* dialect_;
  Signals signals_;
  Asker relay_;
  std::uint64_t serial_ = 0;
  std::int64_t run_ = Clock::now().time_since_epoch().count();
};

double above(const Histogram& relay, const Histogram& echo, double q) {
  return static_cast<double>((relay.quantile(q) - echo.quantile(q)).count()) / 1000;
}

}  // namespace

Result<Outcome> measure_latency(const Options& options) {
  const Dialect& dialect = dialect_of(options);
  auto asker = Asker::open(options.control, dialect);
  if (!asker) return std::unexpected(asker.error());
  Latency latency(options, dialect, std::move(*asker));
  Times discarded;
  const auto reply = latency.cycle(nullptr, discarded);
  if (!reply) return std::unexpected(reply.error());
  auto echo = Echo::start(options.control, *reply, options.relay_pid);
  if (!echo) return std::unexpected(echo.error());
  auto echo_asker = Asker::open(echo->address(), dialect);
  if (!echo_asker) return std::unexpected(echo_asker.error());

  Progress progress(to_nanos(options.warm_up + options.duration));
  Times times;
  const auto run = [&](double seconds) -> Result<void> {
    const Clock::time_point end = Clock::now() + to_nanos(seconds);
    for (Clock::time_point now = Clock::now(); now < end && !interrupted(); now = Clock::now()) {
      const auto done = latency.cycle(&*echo_asker, times);
      if (!done) return std::unexpected(done.error());
      progress.show(now, [&] {
        return fmt::format("offer {} median", to_text(times.relay[0].quantile(0.5)));
      });
    }
    return {};
  };
  if (const auto warm = run(options.warm_up); !warm) return std::unexpected(warm.error());
  times = Times();
  if (const auto done = run(options.duration); !done) return std::unexpected(done.error());

  progress.finish();
  Json json = {{"complete", !interrupted()}, {"commands", Json::object()}};
  fmt::print("{:<10}{:>9}{:>12}{:>12}{:>12}{:>12}{:>14}{:>14}\n", "", "requests", "p50", "p99",
             "echo p50", "echo p99", "above: p50", "above: p99");
  for (std::size_t i = 0; i < kCycle.size(); ++i) {
    const Histogram& relay = times.relay[i];
    const Histogram& bare = times.echo[i];
    json["commands"][std::string(name(kCycle[i]))] = {
        {"took_us", to_json(relay)},
        {"echo_us", to_json(bare)},
        {"above_echo_us", {{"p50", above(relay, bare, 0.5)}, {"p99", above(relay, bare, 0.99)}}}};
    fmt::print("{:<10}{:>9}{:>12}{:>12}{:>12}{:>12}{:>11.1f} us{:>11.1f} us\n", name(kCycle[i]),
               relay.count(), to_text(relay.quantile(0.5)), to_text(relay.quantile(0.99)),
               to_text(bare.quantile(0.5)), to_text(bare.quantile(0.99)), above(relay, bare, 0.5),
               above(relay, bare, 0.99));
  }
  return Outcome{std::move(json)};
}

}  // namespace millrace::loadgen

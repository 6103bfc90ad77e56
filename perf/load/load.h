// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The load generator: sets up calls, sends their media, ends them, and measures.
//
// One thread runs a non-blocking loop: it sends due packets, receives packets, and handles replies
// of the control socket. Permanent calls have the first slots, transient calls (--cps, --hold) any
// other. A call that ends stops sending kLinger before it is deleted, so that its last packets
// arrive first.

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "perf/load/options.h"
#include "perf/load/phones.h"
#include "perf/load/progress.h"
#include "perf/load/relay_process.h"
#include "perf/load/signalling.h"
#include "perf/load/wire.h"

namespace millrace::loadgen {

// Whether SIGINT or SIGTERM was received.
[[nodiscard]] bool interrupted();
void watch_for_interrupt();

[[nodiscard]] const Dialect& dialect_of(const Options& options);

// Signalling without media: the SDP of all calls has the parties' first ports.
[[nodiscard]] Result<Signalling> open_signalling(const Options& options, std::size_t calls);

[[nodiscard]] inline std::chrono::nanoseconds to_nanos(double seconds) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(seconds));
}

struct Measurement {
  double seconds = 0;                  // of the window
  std::size_t calls = 0;               // active at its end
  double offered_pps = 0;              // by the schedule, if the generator keeps up
  std::chrono::nanoseconds own_cpu{};  // of the generator, in the window
  Tally tally;
  std::array<StreamQuality, 2> quality;
  SignallingTally signalling;  // within the window
  std::optional<Usage> relay;  // CPU time within the window
  std::optional<WorkerCycles> cycles;
  bool complete = true;  // false: interrupted

  [[nodiscard]] std::uint64_t sent() const;
  [[nodiscard]] std::uint64_t received() const;
  // Percent of the sent packets.
  [[nodiscard]] double loss() const;
  [[nodiscard]] Histogram delay() const;
  // Whether the generator kept its schedule, so that the figures are the relay's.
  [[nodiscard]] bool kept_up() const {
    return tally.lateness.quantile(0.99) < std::chrono::milliseconds(20);
  }
};

class Load {
 public:
  using Clock = std::chrono::steady_clock;

  // Opens the wire and the control socket, and pings the relay. `most`: limit of permanent calls.
  [[nodiscard]] static Result<std::unique_ptr<Load>> open(const Options& options, std::size_t most);

  // Sets up or ends permanent calls until there are `calls`. Fails with the relay's reason if it
  // refuses one.
  [[nodiscard]] Result<void> set_calls(std::size_t calls, Progress& progress);
  // Starts transient calls, by --cps and --hold.
  void start_transient_calls();
  // Runs the loop without changes for `time`.
  void run(std::chrono::nanoseconds time, Progress& progress);
  // Measures for `time`, then waits for the packets in flight at its end.
  [[nodiscard]] Measurement measure(std::chrono::nanoseconds time, Progress& progress,
                                    std::chrono::nanoseconds step = {});
  // At time `at`, multiplies the phones' packet rate by `factor`.
  void change_pace(Clock::time_point at, double factor) { paces_.push_back({at, factor}); }
  // Ends all calls.
  void end(Progress& progress);

  [[nodiscard]] Phones& phones() { return phones_; }
  [[nodiscard]] std::string trouble() const { return wire_->trouble(); }
  [[nodiscard]] double packets_per_second(std::size_t calls) const;

 private:
  enum class State : std::uint8_t { free, coming_up, talking, leaving };
  struct Leave {
    Clock::time_point at;
    std::uint32_t call;
  };

  struct Pace {
    Clock::time_point at;
    double factor;
  };

  Load(const Options& options, std::unique_ptr<Wire> wire, Signalling signalling, std::size_t most);
  void turn();
  [[nodiscard]] std::string status() const;
  void churn(Clock::time_point now);
  void take(const Signalling::Event& event);
  void start(std::uint32_t call);
  void hang_up(std::uint32_t call, Clock::time_point now);
  void nap(Clock::time_point now) const;
  [[nodiscard]] std::optional<WorkerCycles> cycles_now();

  const Options& options_;
  std::unique_ptr<Wire> wire_;
  Phones phones_;
  Signalling signalling_;
  std::size_t most_;
  std::vector<State> states_;        // by call; permanent calls first
  std::size_t stay_ = 0;             // target number of permanent calls
  std::vector<std::uint32_t> free_;  // free slots of transient calls
  std::deque<Leave> ends_, removals_;
  std::deque<Pace> paces_;
  Clock::time_point next_call_;
  bool transient_enabled_ = false, ending_ = false, has_cycles_ = true;
  std::size_t up_ = 0;         // active permanent calls
  std::size_t unsettled_ = 0;  // calls that are being set up or ended
  std::string refusal_;
};

}  // namespace millrace::loadgen

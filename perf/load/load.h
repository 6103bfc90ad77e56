// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The generator as a whole: calls that are set up, talk and end, and what is measured meanwhile.
//
// One thread does everything in turns, none of which waits: it sends what is due, takes in what has
// come, and passes replies of the control socket on. Calls that stay have the first slots; calls
// that come and go take any other. A call that ends stops talking a little before it is removed, so
// that its last packets have arrived by then.

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

// Ctrl-C has been pressed.
[[nodiscard]] bool interrupted();
void watch_for_interrupt();

[[nodiscard]] const Dialect& dialect_of(const Options& options);

// Signalling without phones: all calls name the parties' first ports.
[[nodiscard]] Result<Signalling> open_signalling(const Options& options, std::size_t calls);

[[nodiscard]] inline std::chrono::nanoseconds to_nanos(double seconds) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(seconds));
}

struct Measurement {
  double seconds = 0;                  // of the window
  std::size_t calls = 0;               // that talked at its end
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
  // Percent of what was sent.
  [[nodiscard]] double loss() const;
  [[nodiscard]] Histogram delay() const;
  // Whether the figures are the relay's: the generator was seldom late by as much as a packet takes
  // to come round again.
  [[nodiscard]] bool kept_up() const {
    return tally.lateness.quantile(0.99) < std::chrono::milliseconds(20);
  }
};

class Load {
 public:
  using Clock = std::chrono::steady_clock;

  // Opens the wire and the control socket, and asks the relay whether it is there. `most` calls may
  // stay at a time.
  [[nodiscard]] static Result<std::unique_ptr<Load>> open(const Options& options, std::size_t most);

  // Sets up or ends calls until so many stay, and comes back when they do. Fails with the relay's
  // reason if it refuses one.
  [[nodiscard]] Result<void> set_calls(std::size_t calls, Progress& progress);
  // From now on calls come and go by the options.
  void let_come_and_go();
  // Everything goes on as it is.
  void run(std::chrono::nanoseconds time, Progress& progress);
  // Measures for a time, and waits for the packets that are under way at its end.
  [[nodiscard]] Measurement measure(std::chrono::nanoseconds time, std::chrono::nanoseconds step,
                                    Progress& progress);
  // From then on the phones send that many times as fast.
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

  Load(const Options& options, std::unique_ptr<Wire> wire, Signalling signalling, std::size_t most,
       std::size_t slots);
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
  std::vector<State> states_;        // of calls; those that stay first
  std::size_t stay_ = 0;             // are to
  std::vector<std::uint32_t> free_;  // slots of calls that come and go
  std::deque<Leave> ends_, removals_;
  std::deque<Pace> paces_;
  Clock::time_point next_call_;
  bool coming_ = false, ending_ = false, tells_cycles_ = true;
  std::size_t up_ = 0;         // calls that stay and talk
  std::size_t unsettled_ = 0;  // calls that come up or leave
  std::string refusal_;
};

}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The calls as the relay is told of them: each is offered, answered at once, and in the end
// removed.
//
// What is wanted waits in two queues until a request may be outstanding: answers and removals go
// before offers, as a proxy finishes what it began. Every request is timed by its command. A call
// that the relay refuses is counted with the relay's reason, and removed if its offer was taken.

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "perf/load/dialect.h"
#include "perf/load/exchanges.h"
#include "perf/load/histogram.h"

namespace millrace::loadgen {

struct CommandTally {
  Histogram took;
  std::uint64_t failed = 0;
};

struct SignallingTally {
  std::array<CommandTally, kVerbNames.size()> commands;
  std::map<std::string, std::uint64_t> reasons;                 // of what failed
  std::uint64_t offered = 0, up = 0, removed = 0, refused = 0;  // calls

  [[nodiscard]] CommandTally& of(Verb verb) { return commands.at(static_cast<std::size_t>(verb)); }
  [[nodiscard]] const CommandTally& of(Verb verb) const {
    return commands.at(static_cast<std::size_t>(verb));
  }
};

class Signalling {
 public:
  // What the parties say in their SDP, and where their SIP comes from; by call, modulo.
  struct Parties {
    std::array<std::vector<Endpoint>, 2> said;
    std::array<IpAddress, 2> source;
  };
  enum class News : std::uint8_t { up, removed, refused };
  struct Event {
    News news;
    std::uint32_t call;
    std::array<Told, 2> told;  // when up
  };

  Signalling(Exchanges exchanges, const Dialect& dialect, Signals signals, Parties parties,
             std::size_t calls);

  void offer(std::uint32_t call);
  void remove(std::uint32_t call);
  // Sends what may be sent and tells what has come of it, by now or within `wait`; valid until the
  // next call.
  [[nodiscard]] std::span<const Event> poll(std::chrono::milliseconds wait = {});
  [[nodiscard]] bool idle() const {
    return urgent_.empty() && offers_.empty() && exchanges_.outstanding() == 0;
  }

  // Whether the relay is there. Precondition: idle.
  [[nodiscard]] Result<void> ping();
  // Asks for its statistics, which poll() brings in.
  void ask_statistics() {
    statistics_.reset();
    urgent_.push_back({Verb::statistics, static_cast<std::uint32_t>(calls_.size() - 1)});
  }
  // The reply, as it came; empty: it was refused.
  [[nodiscard]] const std::optional<std::string>& statistics() const { return statistics_; }
  [[nodiscard]] std::uint64_t retransmissions() const { return exchanges_.retransmissions(); }

  [[nodiscard]] SignallingTally& tally() { return tally_; }
  [[nodiscard]] const std::string& last_refusal() const { return last_refusal_; }

 private:
  struct Call {
    std::string id, from_tag, to_tag;
    std::array<Told, 2> told;
    Verb asked = Verb::offer;  // last
  };
  struct Work {
    Verb verb;
    std::uint32_t call;
  };

  void send(const Work& work);
  void take(const Exchanges::Done& done);
  void fail_call(std::uint32_t number, Verb verb, const std::string& reason);

  Exchanges exchanges_;
  const Dialect* dialect_;
  Signals signals_;
  Parties parties_;
  std::vector<Call> calls_;  // the last one stands for no call
  std::optional<std::string> statistics_;
  std::deque<Work> urgent_, offers_;
  std::vector<Event> events_, given_;
  std::string prefix_;  // of call-ids, unlike any other run's
  std::uint64_t serial_ = 0;
  SignallingTally tally_;
  std::string last_refusal_;
};

}  // namespace millrace::loadgen

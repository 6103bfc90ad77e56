// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Signalling of calls to the relay: each call is offered, answered at once, and later deleted.
//
// Requests wait in two queues for a free exchange: answers and deletes take precedence over offers,
// as a proxy completes calls in progress first. Request times are recorded per command. A refused
// call is counted with the relay's reason, and deleted if its offer was accepted.

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
  std::map<std::string, std::uint64_t> reasons;                 // of failures
  std::uint64_t offered = 0, up = 0, removed = 0, refused = 0;  // calls

  [[nodiscard]] CommandTally& of(Verb verb) { return commands.at(static_cast<std::size_t>(verb)); }
  [[nodiscard]] const CommandTally& of(Verb verb) const {
    return commands.at(static_cast<std::size_t>(verb));
  }
};

class Signalling {
 public:
  // Media endpoints in the parties' SDP (call number modulo size), and source of their SIP.
  struct Parties {
    std::array<std::vector<Endpoint>, 2> sdp_endpoints;
    std::array<IpAddress, 2> source;
  };
  enum class Kind : std::uint8_t { up, removed, refused };
  struct Event {
    Kind kind;
    std::uint32_t call;
    std::array<RelayEndpoints, 2> relay_endpoints;  // when up
  };

  Signalling(Exchanges exchanges, const Dialect& dialect, Signals signals, Parties parties,
             std::size_t calls);

  void offer(std::uint32_t call);
  void remove(std::uint32_t call);
  // Sends queued requests and returns the events that occurred by now or within `wait`. Valid until
  // the next call.
  [[nodiscard]] std::span<const Event> poll(std::chrono::milliseconds wait = {});
  [[nodiscard]] bool idle() const {
    return urgent_.empty() && offers_.empty() && exchanges_.outstanding() == 0;
  }

  // Checks that the relay answers. Precondition: idle.
  [[nodiscard]] Result<void> ping();
  // Requests the relay's statistics. poll() receives the reply.
  void ask_statistics() {
    statistics_.reset();
    urgent_.push_back({Verb::statistics, static_cast<std::uint32_t>(calls_.size() - 1)});
  }
  // The raw reply. Empty string: refused. Nothing: not received yet.
  [[nodiscard]] const std::optional<std::string>& statistics() const { return statistics_; }
  [[nodiscard]] std::uint64_t retransmissions() const { return exchanges_.retransmissions(); }

  [[nodiscard]] SignallingTally& tally() { return tally_; }
  [[nodiscard]] const std::string& last_refusal() const { return last_refusal_; }

 private:
  struct Call {
    std::string id, from_tag, to_tag;
    std::array<RelayEndpoints, 2> relay_endpoints;
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
  std::vector<Call> calls_;  // the last element is for requests without a call
  std::optional<std::string> statistics_;
  std::deque<Work> urgent_, offers_;
  std::vector<Event> events_, given_;
  std::string prefix_;  // of call-ids, unique per run
  std::uint64_t serial_ = 0;
  SignallingTally tally_;
  std::string last_refusal_;
};

}  // namespace millrace::loadgen

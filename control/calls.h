// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a call is: the one place where offers and answers become flows.
//
// Theory of operation. A call (Call-ID) has tags; two tags that exchanged offer and answer are
// joined media by media, each side with its own local ports: even RTP, odd RTCP. Ports for both
// sides are taken at the offer. An answer completes the paths, which are then published to the
// data plane; a re-offer that leaves a side's remote address as it was keeps its ports and its
// latch. Branches of a fork (via-branch) own their callee-side ports and share the caller's; the
// last answer wins the media. A request that fails changes nothing.
// Calls live in a concurrent hash map (oneTBB) and are independent: every request locks its own
// call only. handle() never blocks on the data plane, on a log or on the network.

#include <chrono>
#include <cstdint>
#include <memory>

#include "control/config.h"
#include "control/request.h"
#include "dataplane/dataplane.h"

namespace millrace {

class Calls {
 public:
  using Clock = std::chrono::steady_clock;

  // `config` and `dataplane` must outlive it.
  Calls(const Config& config, Dataplane& dataplane);
  ~Calls();  // withdraws everything
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  // Carries out one request. Thread-safe; never throws for what a request holds.
  [[nodiscard]] Reply handle(const Request& request, Clock::time_point now);

  // Ends calls by their timeouts and carries out delayed deletes; call it once a second.
  void expire(Clock::time_point now);

  // New calls are refused ("load limit") from now on; existing ones go on.
  void drain();

  [[nodiscard]] StatisticsReport statistics(Clock::time_point now) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

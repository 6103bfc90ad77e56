// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One call: its state, its lock and its ends.
//
// Theory of operation. What a call is, is a value (call_state.h). A request is a Change of a copy
// (change.h). If it succeeds, put() compares the two states and makes their differences true: it
// keeps the counters of flows that end, withdraws those, publishes the flows of joined legs,
// returns ports, and then has the new state. A failed request changes nothing. Reports
// (call_report.h), events (call_events.h) and timeouts (timeouts.h) are functions of the state.
// Not thread-safe: the caller holds `mutex`.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/call/ended_dialogs.h"
#include "control/call/flows.h"
#include "control/call/timeouts.h"
#include "control/change/change.h"
#include "control/command/reply.h"
#include "control/command/report.h"
#include "control/command/request.h"
#include "control/leg/call_state.h"
#include "control/notify/event.h"
#include "dataplane/base/text.h"
#include "dataplane/dataplane.h"

namespace millrace {

class Call {
 public:
  using Clock = std::chrono::steady_clock;

  // The other arguments must outlive the call.
  Call(std::string_view id, const CallContext& context, Dataplane& dataplane);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { clear(); }

  // As in Change.
  [[nodiscard]] Result<Reply> offer(const Request& request, const sdp::Session& session,
                                    Clock::time_point now);
  [[nodiscard]] Result<Reply> answer(const Request& request, const sdp::Session& session,
                                     Clock::time_point now);
  [[nodiscard]] Result<Reply> update(const Request& request, const sdp::Session& session,
                                     Clock::time_point now);
  [[nodiscard]] std::size_t trickle(const Request& request,
                                    std::vector<sdp::FragmentMedia> fragment,
                                    Clock::time_point now);
  [[nodiscard]] bool remove(const Request& request, Clock::time_point now);
  [[nodiscard]] Result<void> set_blocking(const Request& request, Clock::time_point now);

  // Remembers the exchanges of `update` requests before the dialogs end.
  void remember(EndedDialogs& ended, Clock::time_point now) const;

  // Ends all dialogs.
  void clear() noexcept;

  // Checks whether the call is over. If not, ends the dialogs whose delayed delete is due. Reads
  // counters of the data plane. may_end() does not, and is never later than the true end.
  [[nodiscard]] Verdict check(Clock::time_point now);
  [[nodiscard]] Clock::time_point may_end() const;

  // Until check() ends the call, if nothing arrives; unset: no limit.
  [[nodiscard]] std::optional<Clock::duration> time_left(Clock::time_point now) const;
  [[nodiscard]] CallReport report(Clock::time_point now) const;
  [[nodiscard]] const CallState& state() const { return *state_; }
  [[nodiscard]] const Realms& realms() const { return context_.realms; }
  [[nodiscard]] std::string_view id() const { return id_; }
  [[nodiscard]] bool empty() const { return state_->dialogs.empty(); }

  // Whether the call is on hold, if that has changed since the last call of this.
  [[nodiscard]] std::optional<bool> hold_changed();
  [[nodiscard]] std::vector<event::Latched> new_latches();

  std::mutex mutex;
  bool gone = false;  // no longer in the table
  // Time of the next check. Guarded by the schedule's lock, not by `mutex`.
  std::optional<Clock::time_point> scheduled;

 private:
  template <typename Act>
  [[nodiscard]] auto apply(Clock::time_point now, Act&& act);
  void put(Change& change);
  void keep_counters(const Flow& flow, CallState& to) const;

  const Text id_;
  const CallContext& context_;
  Dataplane& dataplane_;
  std::unique_ptr<CallState> state_ = std::make_unique<CallState>();
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// When each call is to be checked next; also the list of all calls.
//
// The table of calls cannot be walked while others change it, and walking 100,000 calls a second to
// find three would be waste. Each call has one entry, at the earliest time that it could end.
// An entry is moved, never taken out and put back: once a call is in, nothing here needs memory, so
// a check that fails cannot lose the call. Thread-safe.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/call/call.h"

namespace millrace {

using CallPtr = std::shared_ptr<Call>;

class CallSchedule {
 public:
  using Time = Call::Clock::time_point;

  // Checks `call` at `when`, or earlier if that was asked for before.
  void at(const CallPtr& call, Time when) {
    const std::lock_guard lock(mutex_);
    if (!call->scheduled || when < *call->scheduled) move(call, when);
  }

  // Checks `call` at `when`, whatever was asked for before.
  void set(const CallPtr& call, Time when) {
    const std::lock_guard lock(mutex_);
    move(call, when);
  }

  void forget(const CallPtr& call) {
    const std::lock_guard lock(mutex_);
    if (const auto before = call->scheduled) entries_.erase({*before, call});
    call->scheduled.reset();
  }

  // The first call that is due, which is due again at `retry`; null: there is none.
  // Precondition: now < retry.
  [[nodiscard]] CallPtr take_due(Time now, Time retry) {
    const std::lock_guard lock(mutex_);
    if (entries_.empty() || entries_.begin()->first > now) return nullptr;
    CallPtr due = entries_.begin()->second;
    move(due, retry);
    return due;
  }

  // Up to `limit` calls, those that are due first in front.
  [[nodiscard]] std::vector<CallPtr> calls(std::size_t limit = SIZE_MAX) const {
    std::vector<CallPtr> result;
    const std::lock_guard lock(mutex_);
    result.reserve(std::min(limit, entries_.size()));
    for (auto it = entries_.begin(); it != entries_.end() && result.size() < limit; ++it) {
      result.push_back(it->second);
    }
    return result;
  }

  [[nodiscard]] std::vector<std::string> call_ids(std::size_t limit, bool held_only) const {
    std::vector<std::string> ids;
    const std::lock_guard lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end() && ids.size() < limit; ++it) {
      if (!held_only || it->second->is_held()) ids.emplace_back(it->second->id());
    }
    return ids;
  }

 private:
  // Precondition: the lock is held.
  void move(const CallPtr& call, Time when) {
    if (call->scheduled) {
      auto entry = entries_.extract({*call->scheduled, call});
      entry.value().first = when;
      entries_.insert(std::move(entry));
    } else {
      entries_.emplace(when, call);
    }
    call->scheduled = when;
  }

  mutable std::mutex mutex_;
  std::set<std::pair<Time, CallPtr>> entries_;
};

}  // namespace millrace

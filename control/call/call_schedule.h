// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// When each call is to be looked at next, and so a list of all calls.
//
// The table of calls cannot be walked while others change it, and walking 100,000 calls a second to
// find three would be waste. A call stands here once, at the earliest time that it could end.
// Thread-safe.

#include <cstddef>
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

  // Looks at `call` at `when`, or earlier if that was asked for before.
  void at(const CallPtr& call, Time when) {
    const std::lock_guard lock(mutex_);
    if (const auto before = call->scheduled) {
      if (*before <= when) return;
      entries_.erase({*before, call});
    }
    call->scheduled = when;
    entries_.emplace(when, call);
  }

  void forget(const CallPtr& call) {
    const std::lock_guard lock(mutex_);
    if (const auto before = call->scheduled) entries_.erase({*before, call});
    call->scheduled.reset();
  }

  // The calls that are due, which leave the schedule.
  [[nodiscard]] std::vector<CallPtr> take_due(Time now) {
    std::vector<CallPtr> due;
    const std::lock_guard lock(mutex_);
    while (!entries_.empty() && entries_.begin()->first <= now) {
      due.push_back(entries_.begin()->second);
      due.back()->scheduled.reset();
      entries_.erase(entries_.begin());
    }
    return due;
  }

  [[nodiscard]] std::vector<CallPtr> calls() const {
    std::vector<CallPtr> all;
    const std::lock_guard lock(mutex_);
    all.reserve(entries_.size());
    for (const auto& [when, call] : entries_) all.push_back(call);
    return all;
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
  mutable std::mutex mutex_;
  std::set<std::pair<Time, CallPtr>> entries_;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Time of the next check per call; also the list of all calls.
//
// The table of calls cannot be walked while other threads change it, and walking 100,000 calls per
// second to find three due ones would be waste. Each call has one entry, at the earliest time that
// it could end. An entry is moved, never erased and inserted again: after the first insertion
// nothing here allocates, so a failed check cannot lose the call. Thread-safe.

#include <algorithm>
#include <cstddef>
#include <iterator>
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

  // Checks `call` at `when`, or at its scheduled time if that is earlier.
  void at(const CallPtr& call, Time when) {
    const std::lock_guard lock(mutex_);
    if (!call->scheduled || when < *call->scheduled) move(call, when);
  }

  // Checks `call` at `when`; replaces its scheduled time.
  void set(const CallPtr& call, Time when) {
    const std::lock_guard lock(mutex_);
    move(call, when);
  }

  void forget(const CallPtr& call) {
    const std::lock_guard lock(mutex_);
    if (const auto before = call->scheduled) entries_.erase({*before, call});
    call->scheduled.reset();
  }

  // Returns the first due call and schedules it again after `retry`; null if none is due.
  // Precondition: retry > 0.
  [[nodiscard]] CallPtr take_due(Time now, Time::duration retry) {
    const std::lock_guard lock(mutex_);
    if (entries_.empty() || entries_.begin()->first > now) return nullptr;
    CallPtr due = entries_.begin()->second;
    move(due, now + retry);
    return due;
  }

  // Up to `limit` calls, earliest due first.
  [[nodiscard]] std::vector<CallPtr> calls(std::size_t limit) const {
    std::vector<CallPtr> result;
    const std::lock_guard lock(mutex_);
    result.reserve(std::min(limit, entries_.size()));
    for (auto it = entries_.begin(); it != entries_.end() && result.size() < limit; ++it) {
      result.push_back(it->second);
    }
    return result;
  }

  // Calls `visit` with each call until it returns false. The lock is held for kPage calls at a
  // time and never while `visit` runs. After the first page, a call that is moved meanwhile may be
  // missed or visited twice.
  static constexpr std::size_t kPage = 256;
  template <typename Visit>
  void visit(Visit&& visit) const {
    for (Entry last{Time::min(), nullptr};;) {
      const std::vector<CallPtr> page = page_after(last);
      if (page.empty()) return;
      for (const CallPtr& call : page) {
        if (!visit(call)) return;
      }
    }
  }

  [[nodiscard]] std::vector<std::string> call_ids(std::size_t limit, bool claimed_only) const {
    std::vector<std::string> ids;
    visit([&](const CallPtr& call) {
      if (ids.size() == limit) return false;
      if (claimed_only && !call->state().claimed) return true;
      ids.emplace_back(call->id());
      return true;
    });
    return ids;
  }

 private:
  using Entry = std::pair<Time, CallPtr>;

  // The next calls; `last` becomes the last one's entry.
  [[nodiscard]] std::vector<CallPtr> page_after(Entry& last) const {
    std::vector<CallPtr> page;
    page.reserve(kPage);
    const std::lock_guard lock(mutex_);
    auto it = entries_.upper_bound(last);
    for (; it != entries_.end() && page.size() < kPage; ++it) page.push_back(it->second);
    if (!page.empty()) last = *std::prev(it);
    return page;
  }

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
  std::set<Entry> entries_;
};

}  // namespace millrace

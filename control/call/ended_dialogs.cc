// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/ended_dialogs.h"

#include <functional>

namespace millrace {

std::uint64_t EndedDialogs::key_of(const Exchange& exchange) const {
  std::uint64_t key = secret_;
  for (const std::string_view name : {exchange.call_id, exchange.from_tag, exchange.to_tag}) {
    key = (key ^ std::hash<std::string_view>()(name)) * 0x9e3779b97f4a7c15;
  }
  return key;
}

void EndedDialogs::add(const Exchange& last, Clock::time_point now) {
  const std::uint64_t key = key_of(last);
  const std::lock_guard lock(mutex_);
  while (!queue_.empty() && (queue_.size() == kMax || now - queue_.front().at > kRemembered)) {
    const auto found = entries_.find(queue_.front().key);
    if (found != entries_.end() && found->second.at == queue_.front().at) entries_.erase(found);
    queue_.pop_front();
  }
  entries_[key] = {last.cseq, now};
  queue_.push_back({key, now});
}

bool EndedDialogs::has(const Exchange& exchange, Clock::time_point now) const {
  const std::uint64_t key = key_of(exchange);
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  return found != entries_.end() && exchange.cseq <= found->second.cseq &&
         now - found->second.at <= kRemembered;
}

std::size_t EndedDialogs::size() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

}  // namespace millrace

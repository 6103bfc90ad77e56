// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/outbox.h"

#include <algorithm>

#include "control/log.h"

namespace millrace {

void Outbox::push(Message message) {
  const std::size_t bytes = size(message);
  if (message.bytes.size() > kMaxMessage || waiting_bytes_ + bytes > kMaxBytes) {
    ++lost_;
    return;
  }
  const Time now = message.since;
  waiting_bytes_ += bytes;
  waiting_.push_back(std::move(message));
  fill(now);
}

const Outbox::Message* Outbox::in_flight(std::uint64_t id) const {
  const auto found = std::ranges::find(in_flight_, id, [](const auto& a) { return a.message.id; });
  return found == in_flight_.end() ? nullptr : &found->message;
}

void Outbox::delivered(std::uint64_t id, Time now) {
  progress_ = now;
  std::erase_if(in_flight_, [&](const Attempt& attempt) { return attempt.message.id == id; });
  fill(now);
}

void Outbox::failed(std::uint64_t id, std::string reason) {
  const auto found = std::ranges::find(in_flight_, id, [](const auto& a) { return a.message.id; });
  if (found != in_flight_.end()) found->reason = std::move(reason);
}

void Outbox::advance(Time now) {
  lost_ += std::erase_if(in_flight_, [&](const Attempt& attempt) {
    const bool stale = is_stale(attempt.message, now);
    if (stale) log_lost(attempt);
    return stale;
  });
  for (Attempt& attempt : in_flight_) {
    if (now >= attempt.next) send(attempt, now);
  }
  fill(now);
}

void Outbox::abandon() {
  lost_ += waiting_.size() + in_flight_.size();
  waiting_.clear();
  waiting_bytes_ = 0;
  in_flight_.clear();
}

void Outbox::send(Attempt& attempt, Time now) {
  attempt.next = now + kFirstPause * (1U << attempt.count++);
  attempt.reason = "no reply";
  send_(attempt.message);
}

void Outbox::fill(Time now) {
  for (; in_flight_.size() < kInFlight && !waiting_.empty(); waiting_.pop_front()) {
    waiting_bytes_ -= size(waiting_.front());
    if (is_stale(waiting_.front(), now)) {
      ++lost_;
      continue;
    }
    in_flight_.push_back(
        {.message = std::move(waiting_.front()), .count = 0, .next = now, .reason = {}});
    send(in_flight_.back(), now);
  }
}

void Outbox::log_lost(const Attempt& attempt) const {
  log_event(Level::warning, "notification-lost",
            {{"peer", peer_},
             {"call-id", attempt.message.call_id},
             {"attempts", attempt.count},
             {"reason", attempt.reason}});
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/outbox.h"

#include <utility>

#include "control/log.h"

namespace millrace {

Outbox::Outbox(const asio::any_io_executor& strand, std::string peer, Attempt attempt, Pace pace)
    : peer_(std::move(peer)), attempt_(std::move(attempt)), pace_(pace), timer_(strand) {}

void Outbox::push(Message message) {
  if (queue_.size() >= kMaxQueued) {
    ++lost_;
    return;
  }
  queue_.push_back(std::move(message));
  if (queue_.size() == 1) attempt();
}

void Outbox::attempt() {
  if (stale()) return give_up();
  ++attempts_;
  trying_ = true;
  wake_after(pace_.answer_time, &Outbox::no_answer);
  attempt_(queue_.front());
}

void Outbox::delivered() {
  if (trying_) next();
}

void Outbox::failed(std::string reason) {
  if (!trying_) return;
  trying_ = false;
  reason_ = std::move(reason);
  if (attempts_ >= kAttempts) return give_up();
  wake_after(pace_.first_pause * (1U << (attempts_ - 1)), &Outbox::attempt);
}

void Outbox::give_up() {
  log_event(Level::warning, "notification-lost",
            {{"peer", peer_},
             {"call-id", queue_.front().call_id},
             {"attempts", attempts_},
             {"reason", reason_}});
  ++lost_;
  next();
}

void Outbox::next() {
  queue_.pop_front();
  trying_ = false;
  attempts_ = 0;
  ++wakes_;
  for (; !queue_.empty() && stale(); queue_.pop_front()) ++lost_;
  if (!queue_.empty()) attempt();
}

std::uint64_t Outbox::take_lost() { return std::exchange(lost_, 0); }

void Outbox::wake_after(std::chrono::milliseconds pause, void (Outbox::*then)()) {
  timer_.expires_after(pause);
  timer_.async_wait([this, then, wake = ++wakes_](const asio::error_code& error) {
    if (!error && wake == wakes_) (this->*then)();
  });
}

}  // namespace millrace

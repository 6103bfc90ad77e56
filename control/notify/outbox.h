// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Messages on their way to one peer that may be slow, deaf or dead.
//
// One message at a time is out: it is tried, and tried again with growing pauses, until the peer
// has it, kAttempts are used up or it is older than kMaxAge. Messages behind it wait in a bounded
// queue; what does not fit is lost and counted. Not thread-safe: all on one strand.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

namespace millrace {

class Outbox {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMaxQueued = 4096;
  static constexpr unsigned kAttempts = 5;
  static constexpr std::chrono::seconds kMaxAge{30};

  struct Pace {
    std::chrono::milliseconds answer_time{1000};  // for one attempt
    std::chrono::milliseconds first_pause{250};   // after the first; doubled each time
  };
  struct Message {
    std::uint64_t id = 0;
    std::string call_id;  // for the log
    std::string bytes;
    Clock::time_point since;
  };
  // Starts an attempt, which ends with delivered() or failed(); if neither comes within
  // the pace's answer time, it has failed. `peer` is its name for the log.
  using Attempt = std::function<void(const Message&)>;

  Outbox(const asio::any_io_executor& strand, std::string peer, Attempt attempt)
      : Outbox(strand, std::move(peer), std::move(attempt), Pace()) {}
  Outbox(const asio::any_io_executor& strand, std::string peer, Attempt attempt, Pace pace);

  void push(Message message);
  // The message that is out, while an attempt runs; null: there is none.
  [[nodiscard]] const Message* current() const { return trying_ ? &queue_.front() : nullptr; }
  void delivered();
  void failed(std::string reason);

  [[nodiscard]] bool empty() const { return queue_.empty(); }
  // Messages that did not get through since the last call.
  [[nodiscard]] std::uint64_t take_lost();
  [[nodiscard]] const std::string& peer() const { return peer_; }

 private:
  void attempt();
  void no_answer() { failed("no answer"); }
  void give_up();
  void next();
  [[nodiscard]] bool stale() const { return Clock::now() - queue_.front().since > kMaxAge; }
  void wake_after(std::chrono::milliseconds pause, void (Outbox::*then)());

  std::string peer_;
  Attempt attempt_;
  Pace pace_;
  asio::steady_timer timer_;
  std::deque<Message> queue_;
  bool trying_ = false;
  unsigned attempts_ = 0;    // of the first message
  std::string reason_;       // why the last one failed
  std::uint64_t wakes_ = 0;  // only the latest may do anything
  std::uint64_t lost_ = 0;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Bounded send queue to one peer; survives a stalled or dead peer.
//
// Up to kInFlight messages are in flight at once: enough that a healthy peer never waits for the
// relay, and few enough for a proxy's socket queue (net.unix.max_dgram_qlen, 10). A message without
// a reply is sent again after 1, 2, 4, 8... s, until it is older than `max_age`. The queue is
// bounded in bytes; messages that do not fit are dropped and counted. Time is a parameter: call
// advance() once a second. Not thread-safe.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

class Outbox {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;
  static constexpr std::size_t kInFlight = 8;
  static constexpr std::size_t kMaxBytes = std::size_t{32} << 20;    // about 100,000 messages
  static constexpr std::size_t kMaxMessage = std::size_t{32} << 10;  // proxies read 64 KiB at most
  static constexpr std::chrono::seconds kFirstPause{1};              // doubled after each attempt
  static constexpr std::chrono::seconds kStalled{1};                 // without a delivery

  struct Message {
    std::uint64_t id = 0;
    std::string call_id;  // for the log
    std::string bytes;
    Time since;
  };
  // Sends a message. Must not call delivered() itself; that follows with the peer's reply.
  using Send = std::function<void(const Message&)>;

  // `peer` is its name for the log.
  Outbox(std::string peer, std::chrono::seconds max_age, Send send)
      : peer_(std::move(peer)), max_age_(max_age), send_(std::move(send)) {}

  void push(Message message);
  // Null: not in flight.
  [[nodiscard]] const Message* in_flight(std::uint64_t id) const;
  // Precondition of both: `id` is in flight.
  void delivered(std::uint64_t id, Time now);
  void failed(std::uint64_t id, std::string reason);
  // Sends messages that are due again and drops those past max_age.
  void advance(Time now);
  // Drops everything.
  void abandon();

  [[nodiscard]] bool empty() const { return waiting_.empty() && in_flight_.empty(); }
  // More than half full while the peer takes messages: waiting for it helps.
  [[nodiscard]] bool congested(Time now) const {
    return waiting_bytes_ > kMaxBytes / 2 && now - progress_ < kStalled;
  }
  // Messages lost since the last call.
  [[nodiscard]] std::uint64_t take_lost() { return std::exchange(lost_, 0); }
  [[nodiscard]] const std::string& peer() const { return peer_; }

 private:
  struct Attempt {
    Message message;
    unsigned count = 0;
    Time next;  // time of the next attempt
    std::string reason;
  };
  void send(Attempt& attempt, Time now);
  void fill(Time now);
  void log_lost(const Attempt& attempt) const;
  [[nodiscard]] bool is_stale(const Message& message, Time now) const {
    return now - message.since > max_age_;
  }
  [[nodiscard]] static std::size_t size(const Message& message) {
    return sizeof message + message.call_id.size() + message.bytes.size();
  }

  std::string peer_;
  std::chrono::seconds max_age_;
  Send send_;
  std::deque<Message> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::vector<Attempt> in_flight_;
  Time progress_;  // the last delivery
  std::uint64_t lost_ = 0;
};

}  // namespace millrace

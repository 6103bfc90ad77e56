// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Replies of the last 60 s to requests received as datagrams, for retransmissions.
//
// A proxy that receives no reply sends the same request with the same cookie again. It must get the
// same reply, and the request must not be executed twice. Unlike rtpengine's, an entry is keyed by
// the peer too, so that two proxies may draw the same cookie. A retransmission of a request that is
// still being executed gets no reply: the reply to the first one follows.
// Bounded in count and in bytes; at either bound the oldest entries are dropped. Thread-safe. Time
// is a parameter and must not go back by much.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dataplane/base/net.h"

namespace millrace {

class ReplyCache {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kLife{60};

  struct Limits {
    std::size_t entries = 65'536;
    std::size_t bytes = std::size_t{64} * 1024 * 1024;  // of replies, cookies and bookkeeping
  };

  ReplyCache() : ReplyCache(Limits()) {}
  explicit ReplyCache(Limits limits) : limits_(limits) {}

  enum class State : std::uint8_t {
    fresh,    // execute it, then store() its reply
    pending,  // being executed: send nothing
    replied,  // send `reply` again
  };
  struct Lookup {
    State state;
    std::string reply;
  };
  // The first caller for a request gets State::fresh and must execute it.
  [[nodiscard]] Lookup claim(const Endpoint& peer, std::string_view cookie, Clock::time_point now);
  // Drops a claim: the request failed, so that a retransmission is executed.
  void forget(const Endpoint& peer, std::string_view cookie);
  // Stores the reply to a claimed request; a reply longer than the limit is not kept.
  void store(const Endpoint& peer, std::string_view cookie, Clock::time_point now,
             std::string_view reply);

  [[nodiscard]] std::size_t entries() const;
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Entry {
    std::string key;
    std::string reply;
    bool replied = false;
    Clock::time_point expires;
    [[nodiscard]] std::size_t bytes() const;
  };
  using Entries = std::list<Entry>;

  Entries::iterator insert(std::string key, Clock::time_point now);
  void erase(Entries::iterator entry);
  void expire(Clock::time_point now);
  void fit();

  const Limits limits_;
  mutable std::mutex mutex_;
  Entries entries_;                                                 // oldest first
  std::unordered_map<std::string_view, Entries::iterator> by_key_;  // views of Entry::key
  std::size_t bytes_ = 0;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The replies of the last minute to requests that came as datagrams.
//
// A proxy that hears nothing sends the same request with the same cookie again. It must get the
// same reply, and the request must not be carried out twice. Unlike rtpengine's, an entry is
// bound to the peer too, so that two proxies may draw the same cookie. A request that came again
// while the first is still being carried out is not to be answered: its reply is on its way.
// Bounded in count and in bytes; at either bound the oldest entries go. Thread-safe; time is a
// parameter and must not go back by much.
// Entries stand in the order in which they came, each with a number, and are found by a table of
// these (open addressing, linear probing): some 27,000 requests a second pass through, and nearly
// none is ever asked for again.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "control/text.h"
#include "dataplane/net.h"

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
    fresh,    // carry it out, then store() its reply
    pending,  // being carried out: send nothing
    replied,  // send `reply` again
  };
  struct Lookup {
    State state;
    std::string reply;
  };
  // Claims a request for the caller, if it is the first to ask for it.
  [[nodiscard]] Lookup claim(const Endpoint& peer, std::string_view cookie, Clock::time_point now);
  // The reply to a claimed request; one that does not fit is not kept.
  void store(const Endpoint& peer, std::string_view cookie, std::string_view reply,
             Clock::time_point now);

  [[nodiscard]] std::size_t entries() const;
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Entry {
    Endpoint peer;
    Text cookie;
    std::string reply;
    Clock::time_point expires;
    std::uint32_t hash = 0;
    bool replied = false;
    [[nodiscard]] std::size_t bytes() const;
  };
  struct Place {
    std::uint32_t hash = 0;  // 0: free
    std::uint32_t number = 0;
  };

  [[nodiscard]] static std::uint32_t hash_of(const Endpoint& peer, std::string_view cookie);
  // Null: there is none.
  [[nodiscard]] Place* find(std::uint32_t hash, const Endpoint& peer, std::string_view cookie);
  [[nodiscard]] Entry& entry(const Place& place) { return entries_[place.number - oldest_]; }
  Entry& insert(std::uint32_t hash, const Endpoint& peer, std::string_view cookie,
                Clock::time_point now);
  void put(Place place);
  void free(std::size_t hole);
  void erase_oldest();
  void expire(Clock::time_point now);
  void fit();

  static constexpr std::size_t kPlaces = 1024;  // at first

  [[nodiscard]] std::size_t home(std::uint32_t hash) const {
    return hash >> 1 & (places_.size() - 1);
  }
  [[nodiscard]] std::size_t after(std::size_t place) const {
    return (place + 1) & (places_.size() - 1);
  }

  const Limits limits_;
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;           // oldest first
  std::uint32_t oldest_ = 0;            // its number; others follow, round the end of numbers
  std::vector<Place> places_{kPlaces};  // a power of two, twice as many as entries or more
  std::size_t bytes_ = 0;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/reply_cache.h"

#include <functional>
#include <utility>

namespace millrace {

std::size_t ReplyCache::Entry::bytes() const {
  return sizeof(Entry) + 2 * sizeof(Place) + std::string_view(cookie).size() + reply.size();
}

// Odd, unlike that of a free place.
std::uint32_t ReplyCache::hash_of(const Endpoint& peer, std::string_view cookie) {
  const auto words = peer.address.words();
  const std::uint64_t mixed = std::hash<std::string_view>()(cookie) ^
                              (words[0] ^ words[1] ^ peer.port.number()) * 0x9e3779b97f4a7c15ULL;
  return static_cast<std::uint32_t>(mixed ^ mixed >> 32) | 1U;
}

ReplyCache::Lookup ReplyCache::claim(const Endpoint& peer, std::string_view cookie,
                                     Clock::time_point now) {
  const std::uint32_t hash = hash_of(peer, cookie);
  const std::lock_guard lock(mutex_);
  expire(now);
  if (const Place* found = find(hash, peer, cookie)) {
    const Entry& known = entry(*found);
    return {known.replied ? State::replied : State::pending, known.reply};
  }
  insert(hash, peer, cookie, now);
  fit();
  return {State::fresh, {}};
}

void ReplyCache::store(const Endpoint& peer, std::string_view cookie, std::string_view reply,
                       Clock::time_point now) {
  const std::uint32_t hash = hash_of(peer, cookie);
  const std::lock_guard lock(mutex_);
  expire(now);
  Place* const found = find(hash, peer, cookie);
  if (reply.size() >= limits_.bytes) {
    // Its entry stays until it is the oldest one, but is not found any more.
    if (found != nullptr) free(static_cast<std::size_t>(found - places_.data()));
    return;
  }
  Entry& kept = found != nullptr ? entry(*found) : insert(hash, peer, cookie, now);
  bytes_ -= kept.bytes();
  kept.reply = reply;
  kept.replied = true;
  kept.expires = now + kLife;
  bytes_ += kept.bytes();
  fit();
}

ReplyCache::Place* ReplyCache::find(std::uint32_t hash, const Endpoint& peer,
                                    std::string_view cookie) {
  for (std::size_t i = home(hash); places_[i].hash != 0; i = after(i)) {
    if (places_[i].hash != hash) continue;
    const Entry& there = entry(places_[i]);
    if (there.peer == peer && there.cookie == cookie) return &places_[i];
  }
  return nullptr;
}

ReplyCache::Entry& ReplyCache::insert(std::uint32_t hash, const Endpoint& peer,
                                      std::string_view cookie, Clock::time_point now) {
  if (2 * (entries_.size() + 1) > places_.size()) {
    const auto before = std::exchange(places_, std::vector<Place>(2 * places_.size()));
    for (const Place& place : before) {
      if (place.hash != 0) put(place);
    }
  }
  put({hash, oldest_ + static_cast<std::uint32_t>(entries_.size())});
  Entry& made = entries_.emplace_back(
      Entry{.peer = peer, .cookie = cookie, .reply = {}, .expires = now + kLife, .hash = hash});
  bytes_ += made.bytes();
  return made;
}

void ReplyCache::put(Place place) {
  std::size_t i = home(place.hash);
  while (places_[i].hash != 0) i = after(i);
  places_[i] = place;
}

// Closes the gap: what could stand there, or before, moves up.
void ReplyCache::free(std::size_t hole) {
  const std::size_t mask = places_.size() - 1;
  for (std::size_t i = after(hole); places_[i].hash != 0; i = after(i)) {
    if (((i - home(places_[i].hash)) & mask) < ((i - hole) & mask)) continue;
    places_[hole] = places_[i];
    hole = i;
  }
  places_[hole] = {};
}

void ReplyCache::erase_oldest() {
  const Entry& gone = entries_.front();
  bytes_ -= gone.bytes();
  std::size_t i = home(gone.hash);
  while (places_[i].hash != 0 && places_[i].number != oldest_) i = after(i);
  if (places_[i].hash != 0) free(i);
  entries_.pop_front();
  ++oldest_;
}

void ReplyCache::expire(Clock::time_point now) {
  while (!entries_.empty() && entries_.front().expires <= now) erase_oldest();
}

void ReplyCache::fit() {
  while (entries_.size() > limits_.entries || bytes_ > limits_.bytes) erase_oldest();
}

std::size_t ReplyCache::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::size_t ReplyCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace millrace

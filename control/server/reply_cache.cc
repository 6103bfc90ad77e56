// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/reply_cache.h"

#include <iterator>
#include <utility>

namespace millrace {
namespace {

// The endpoint's 18 bytes, then the cookie: unambiguous.
std::string make_key(const Endpoint& peer, std::string_view cookie) {
  const std::uint16_t port = peer.port.number();
  std::string key(peer.address.bytes().begin(), peer.address.bytes().end());
  key += static_cast<char>(port >> 8);
  key += static_cast<char>(port & 0xff);
  key += cookie;
  return key;
}

}  // namespace

std::size_t ReplyCache::Entry::bytes() const {
  constexpr std::size_t kIndex = 64;  // about the size of a hash table node
  return sizeof(Entry) + kIndex + key.size() + reply.size();
}

ReplyCache::Lookup ReplyCache::claim(const Endpoint& peer, std::string_view cookie,
                                     Clock::time_point now) {
  std::string key = make_key(peer, cookie);
  const std::lock_guard lock(mutex_);
  expire(now);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    const Entry& entry = *found->second;
    return {entry.replied ? State::replied : State::pending, entry.reply};
  }
  insert(std::move(key), now);
  fit();
  return {State::fresh, {}};
}

void ReplyCache::store(const Endpoint& peer, std::string_view cookie, Clock::time_point now,
                       std::string_view reply) {
  std::string key = make_key(peer, cookie);
  const std::lock_guard lock(mutex_);
  expire(now);
  const auto found = by_key_.find(key);
  if (reply.size() >= limits_.bytes) {
    if (found != by_key_.end()) erase(found->second);
    return;
  }
  const auto entry = found == by_key_.end() ? insert(std::move(key), now) : found->second;
  bytes_ -= entry->bytes();
  entry->reply = reply;
  entry->replied = true;
  entry->expires = now + kLife;
  bytes_ += entry->bytes();
  entries_.splice(entries_.end(), entries_, entry);
  fit();
}

void ReplyCache::forget(const Endpoint& peer, std::string_view cookie) {
  const std::string key = make_key(peer, cookie);
  const std::lock_guard lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end()) erase(found->second);
}

ReplyCache::Entries::iterator ReplyCache::insert(std::string key, Clock::time_point now) {
  entries_.push_back({.key = std::move(key), .reply = {}, .expires = now + kLife});
  const auto entry = std::prev(entries_.end());
  by_key_.emplace(entry->key, entry);
  bytes_ += entry->bytes();
  return entry;
}

void ReplyCache::erase(Entries::iterator entry) {
  bytes_ -= entry->bytes();
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

void ReplyCache::expire(Clock::time_point now) {
  while (!entries_.empty() && entries_.front().expires <= now) erase(entries_.begin());
}

void ReplyCache::fit() {
  while (entries_.size() > limits_.entries || bytes_ > limits_.bytes) erase(entries_.begin());
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

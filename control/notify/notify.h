// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Call event notifications: to SIP proxies when the relay ends a call, and to readers of the event
// stream.
//
// Theory of operation. publish() never blocks and takes no lock of its own: it posts the event to a
// strand of `io`, where it is serialized and appended to the queues of its peers (outbox.h,
// event_stream.h). Each queue is bounded; notifications that do not fit or are not delivered in
// time are counted and logged once a second. A call is removed before its end is published: a
// peer's reply, or none, has no effect on calls. Calls that end by a delete of the proxy, or
// because the parties found a direct path, are published to readers only
// (event::End::notify_proxy).

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <asio/io_context.hpp>

#include "control/config/config.h"
#include "control/notify/event.h"
#include "dataplane/base/file_descriptor.h"

namespace millrace {

class Notifier {
 public:
  static constexpr std::uint32_t kMaxPending = 16'384;  // events posted to the strand
  static constexpr std::size_t kMaxTagPeers = 64;       // rtpproxy notification sockets in use

  // `sockets` are bound to Notify::own, in the same order; those for readers are listening.
  // Notifications older than `max_age` are dropped.
  Notifier(asio::io_context& io, const std::vector<Notify>& config,
           std::vector<FileDescriptor> sockets, std::chrono::seconds max_age);
  // Precondition: no thread runs `io`.
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Thread-safe.
  void publish(Event event);
  // Retries, logs losses and drops idle TagPeers; call it once a second.
  void tick(std::chrono::steady_clock::time_point now);
  // Calls `then` once the queues have room for the events of many calls, or at `until`. Does not
  // wait for stalled peers. One call of this or flush() at a time.
  void wait_for_room(std::chrono::steady_clock::time_point until, std::function<void()> then);
  // Calls `then` once the queues are empty, or at `until`, after dropping and logging the rest.
  void flush(std::chrono::steady_clock::time_point until, std::function<void()> then);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

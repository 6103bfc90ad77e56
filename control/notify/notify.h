// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Notifications of call events: to SIP proxies, when the relay ends a call, and to readers of the
// event stream.
//
// Theory of operation. publish() never blocks and takes no lock of its own: it posts the event to a
// strand of `io`, where it becomes bytes and joins the queues of its peers (outbox.h,
// event_stream.h). Each queue is bounded; what does not fit or is not delivered in time is counted
// and logged once a second. A call is gone from the relay before its end is published: no peer's
// answer, and no missing one, changes anything here.
// Calls that end by a delete of the proxy, or because the parties found a direct path, are
// published to readers only (event::End::notify_proxy).

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

  // `sockets` are bound to Notify::own, in the same order; those of readers are listening.
  // Notifications older than `max_age` are dropped.
  Notifier(asio::io_context& io, const std::vector<Notify>& config,
           std::vector<FileDescriptor> sockets, std::chrono::seconds max_age);
  // Precondition: nobody runs `io` any more.
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Thread-safe.
  void publish(Event event);
  // Retries, logs losses and forgets idle notification sockets; call it once a second.
  void tick(std::chrono::steady_clock::time_point now);
  // Calls `then` once the queues have room for the events of many calls, or at `until`. A stalled
  // peer is not waited for. One call of this or flush() at a time.
  void wait_for_room(std::chrono::steady_clock::time_point until, std::function<void()> then);
  // Calls `then` once everything is delivered, or at `until`: the rest is then dropped and logged.
  void flush(std::chrono::steady_clock::time_point until, std::function<void()> then);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

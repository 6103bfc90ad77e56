// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Events of calls leave the relay: to the SIP proxy, which ends calls whose media died, and to
// readers of the event stream.
//
// Theory of operation. tell() never blocks and takes no lock of its own: it posts the event to a
// strand that the control threads run, where it becomes bytes and joins the queues of its peers
// (outbox.h, event_stream.h). Each queue is bounded; what does not fit or does not get through is
// counted, and told in the log once a second. A call has left the relay before its end is told:
// no peer's answer, and none that fails to come, changes anything here.
// What ends by a delete of the proxy, or because the parties found a direct path, is told to
// readers only (event::End::untold).

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <asio/io_context.hpp>

#include "control/config/config.h"
#include "control/notify/event.h"
#include "control/server/listener.h"

namespace millrace {

class Notifier {
 public:
  static constexpr std::uint32_t kMaxPending = 16'384;  // events on their way to the strand
  static constexpr std::size_t kMaxTagPeers = 64;       // different sockets of rtpproxy's clients

  // `sockets` are those of Notify::own, in the same order. Works for whoever runs `io`.
  [[nodiscard]] static Result<std::unique_ptr<Notifier>> start(
      asio::io_context& io, const std::vector<Notify>& config,
      const std::vector<Listener>& sockets);
  // Precondition: nobody runs `io` any more.
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // Thread-safe.
  void tell(Event event);
  // Tells what was lost, and forgets sockets that nobody was told at for a while; call it once a
  // second.
  void tick(std::chrono::steady_clock::time_point now);
  // Calls `then` once all is delivered, or after `patience`.
  void flush(std::chrono::milliseconds patience, std::function<void()> then);

 private:
  struct Impl;
  explicit Notifier(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

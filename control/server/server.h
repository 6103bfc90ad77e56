// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The control sockets at work: bytes in, requests to the handler, each reply out in one send().
//
// Theory of operation. Every socket speaks one protocol (protocol/codec.h). UNIX sockets carry any
// number of requests on a connection, in any pieces (connection.h); on UDP every request has a
// cookie and a retransmission gets the reply that was sent before (datagrams.h).
// The threads in run() wait at one epoll, edge-triggered, so that an event wakes one of them. Who
// accepts a connection serves what came with it at once: the proxies' modules make a connection for
// each request.
// Who connects is known by the kernel's word (SO_PEERCRED): a socket with a list of peers closes
// the connections of all other users but root and our own. Connections and their
// unfinished requests are limited (connection.h).

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "control/config/config.h"
#include "control/protocol/codec.h"
#include "control/server/listener.h"

namespace millrace {

struct ServerReport {
  std::uint64_t connections = 0;    // open now
  std::uint64_t peers_refused = 0;  // users that are not on a socket's list
  std::uint64_t refused = 0;        // connections past the limits
  std::uint64_t cut = 0;            // clients that never read, never finish or send nonsense
};

class Server {
 public:
  using Clock = std::chrono::steady_clock;

  // `listeners` and `config` must outlive it, and what `handle` refers to.
  Server(const std::vector<Listener>& listeners, const Config& config, Handler handle);
  // Precondition: nobody is in run() any more; connections go with it.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] Result<void> start();
  // Serves until stop(), from any number of threads.
  void run();
  // Waits for something to do, and does it: a turn of whatever is ready.
  void run_once();
  // Ends run() in all threads, now and from now on.
  void stop();

  // Cuts connections whose request is overdue, and accepts again after it had to pause; call it
  // once a second.
  void expire(Clock::time_point now);
  [[nodiscard]] ServerReport report() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

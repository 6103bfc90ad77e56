// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Serves the control sockets: parses requests, calls the handler, sends each reply in one send().
//
// Theory of operation. Each socket has one protocol (protocol/codec.h). A connection to a UNIX or
// TCP socket carries any number of requests, in any segmentation (connection.h). On UDP each
// request has a cookie, and a retransmission gets the earlier reply again (datagrams.h). The
// threads in run() wait on one epoll, edge-triggered, so that an event wakes one of them. The
// thread that accepts a connection serves its first input at once: the proxies' modules open a
// connection for each request.
// Clients are identified by SO_PEERCRED: a socket with a list of peers closes the connections of
// all other users but root and our own. TCP clients are identified by their certificate (tls.h), or
// are on this host. Connections and their unfinished requests are limited (connection.h).

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
  std::uint64_t peers_refused = 0;  // users not on a socket's list
  std::uint64_t refused = 0;        // connections past the limits
  std::uint64_t disconnected = 0;   // clients that do not read, do not finish or send garbage
};

class Server {
 public:
  using Clock = std::chrono::steady_clock;

  // `listeners`, `config` and what `handle` refers to must outlive it.
  Server(const std::vector<Listener>& listeners, const Config& config, Handler handle);
  // Precondition: no thread is in run(). Closes all connections.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] Result<void> start();
  // Serves until stop(), from any number of threads.
  void run();
  // Waits for events and handles them: one turn of each ready connection.
  void run_once();
  // Ends run() in all threads; later calls of run() return at once.
  void stop();

  // Disconnects clients with overdue requests and resumes accepting after a failure. Call it once a
  // second.
  void expire(Clock::time_point now);
  [[nodiscard]] ServerReport report() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The control sockets at work: bytes in, requests to Calls, each reply out in one send().
//
// Theory of operation. Every UNIX connection has a strand and one pending wait for input, so its
// requests are answered in order and an idle client costs a descriptor and no buffer. Input is
// framed as it arrives (ng::frame); any number of requests may come on a connection, in any
// pieces. Proxy modules take the reply with a single read(), hence one send() for each; it never
// waits: a client that leaves its replies unread until the socket is full is cut. A frame that
// cannot be delimited is answered and the connection closed, since what follows could be anything,
// even a request inside somebody's SDP; other errors are answered and the connection stays.
// A request must be complete within kRequestTime, connections are limited in number.
// Over UDP a cookie is required, and a retransmission gets the reply that was sent before.

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include <asio/io_context.hpp>

#include "control/calls.h"
#include "control/listener.h"

namespace millrace {

class Server {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMaxConnections = 4096;
  static constexpr std::chrono::seconds kRequestTime{10};

  // Serves whoever runs `io`, from any number of threads. All three must outlive it.
  Server(asio::io_context& io, const std::vector<Listener>& listeners, Calls& calls);
  // Precondition: nobody runs `io` any more; connections go with it.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] Result<void> start();
  // Cuts connections whose request is overdue; call it once a second.
  void expire(Clock::time_point now);
  [[nodiscard]] std::size_t connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace

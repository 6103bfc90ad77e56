// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The connections of the UNIX sockets: each reads, frames, serves and replies on its own strand.
//
// Theory of operation. One wait for input is pending on a connection, so an idle client costs a
// descriptor and no buffer, and requests are answered in order. At most kTurn requests are served
// before the other connections get their turn, so that a flood of requests delays nobody by more.
// A reply leaves in one send() that never waits: a client that leaves its replies unread until the
// socket is full is cut. Input that cannot be delimited is answered and the connection closed,
// since what follows could be anything, even a request inside somebody's SDP.
// A process may hold only a share of all connections, and few unfinished requests: one that leaks
// or floods is stopped before the other proxies of the host notice.

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <asio/local/stream_protocol.hpp>

#include "control/calls.h"
#include "control/protocol/codec.h"

namespace millrace {

class Connection;

// What is open now, for the limits.
class Connections {
 public:
  static constexpr std::size_t kMaxConnections = 4096;
  static constexpr std::size_t kMaxPerProcess = 1024;
  static constexpr std::size_t kMaxUnfinished = 64;  // requests, by process

  // Why it must not enter; empty: it has entered.
  [[nodiscard]] std::string_view enter(const std::shared_ptr<Connection>& connection);
  void leave(const Connection& connection);
  // A process begins or ends an unfinished request; false: it has too many.
  [[nodiscard]] bool begin_unfinished(pid_t process);
  void end_unfinished(pid_t process);

  [[nodiscard]] std::vector<std::shared_ptr<Connection>> all() const;
  [[nodiscard]] std::size_t count() const;

  std::atomic<std::uint64_t> cut = 0;  // connections that the relay ended

 private:
  struct Share {
    std::size_t connections = 0;
    std::size_t unfinished = 0;
  };

  mutable std::mutex mutex_;
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> connections_;
  // By process; 0, which stands for all those of other PID namespaces, is not limited.
  std::unordered_map<pid_t, Share> shares_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;
  using Socket = asio::local::stream_protocol::socket;
  static constexpr int kTurn = 64;
  static constexpr std::chrono::seconds kRequestTime{10};

  // `calls` and `codec` must outlive it; `connections` it co-owns, since it may outlive the server
  // inside asio.
  Connection(Socket socket, const Codec& codec, Calls& calls,
             std::shared_ptr<Connections> connections);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void wait();
  // Cuts it if a request has been unfinished for too long. From any thread.
  void expire(Clock::time_point now);
  [[nodiscard]] const ucred& peer() const { return peer_; }

 private:
  enum class Turn : std::uint8_t { starved, spent, ended };

  void receive();
  void serve(std::string_view input);
  [[nodiscard]] Turn serve_turn(std::string_view& input);
  [[nodiscard]] bool answer(std::string_view message);
  [[nodiscard]] bool send(std::string_view reply);
  [[nodiscard]] bool note_unfinished(bool unfinished);
  void cut(std::string_view why);
  void close();

  Socket socket_;
  const Codec& codec_;
  Calls& calls_;
  std::shared_ptr<Connections> connections_;
  ucred peer_{};
  bool first_ = true;                             // no message was served yet
  std::string buffer_;                            // what is not served yet
  std::atomic<Clock::rep> unfinished_since_ = 0;  // 0: there is no unfinished request
};

}  // namespace millrace

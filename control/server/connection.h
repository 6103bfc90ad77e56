// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The connections of the UNIX sockets: each reads, frames, serves and replies in order.
//
// Theory of operation. The server tells a connection that input has come (epoll, edge-triggered),
// from any of its threads; one thread at a time works on it and also takes what the others tell it
// meanwhile, so that nobody ever waits. An idle client costs a descriptor and no buffer. At most
// kTurn requests are served before the other connections get their turn, so that a flood of
// requests delays nobody by more.
// A reply leaves in one send() if the socket has room for it. The rest of a longer one follows as
// the client reads; its next request is served after that, so that a connection never keeps more
// than one reply. A client that does not read its reply within kRequestTime is cut.
// Input that cannot be delimited is answered and the connection closed, since what follows could be
// anything, even a request inside somebody's SDP.
// A process may hold only a share of all connections, and few unfinished requests: one that leaks
// or floods is stopped before the other proxies of the host notice.

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/protocol/codec.h"
#include "dataplane/base/file_descriptor.h"

namespace millrace {

class Connection;

// What is open now, for the limits.
class Connections {
 public:
  static constexpr std::size_t kMaxConnections = 4096;
  static constexpr std::size_t kMaxPerProcess = 1024;
  static constexpr std::size_t kMaxUnfinished = 64;  // requests and unread replies, by process

  // Why it must not enter; empty: it has entered, and find() knows it by its id.
  [[nodiscard]] std::string_view enter(const std::shared_ptr<Connection>& connection);
  // Gives back all that a connection counts for. No effect on one that has left.
  void leave(std::uint64_t id);
  [[nodiscard]] std::shared_ptr<Connection> find(std::uint64_t id) const;
  // Counts a connection's unfinished request or reply, or counts it no more. False: too many of its
  // process.
  [[nodiscard]] bool set_unfinished(std::uint64_t id, bool unfinished);

  [[nodiscard]] std::vector<std::shared_ptr<Connection>> all() const;
  [[nodiscard]] std::size_t count() const;

  std::atomic<std::uint64_t> cut = 0;  // connections that the relay ended

 private:
  struct Share {
    std::size_t connections = 0;
    std::size_t unfinished = 0;
  };

  // What one connection counts for in its process's share. It is given back with the entry alone,
  // so that a share is the sum of its entries and ends with the last one.
  struct Entry {
    std::shared_ptr<Connection> connection;
    Share& share;
    bool unfinished = false;
  };

  // Whose share a connection counts for: a process's. The kernel does not tell the process id of
  // clients in PID namespaces that we do not see (0): those of one user count as one process.
  using Client = std::pair<pid_t, uid_t>;
  [[nodiscard]] static Client client_of(const ucred& peer);

  mutable std::mutex mutex_;
  std::map<Client, Share> shares_;
  std::unordered_map<std::uint64_t, Entry> connections_;  // by id
};

class Connection {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int kTurn = 64;
  static constexpr std::chrono::seconds kRequestTime{10};  // for a request, or to read a reply

  // What a connection may be told.
  static constexpr std::uint32_t kInput = 1;
  static constexpr std::uint32_t kHangup = 2;   // and its end
  static constexpr std::uint32_t kOverdue = 4;  // a request or reply is unfinished for too long

  // `codec`, what `context` refers to and `connections` must outlive it.
  Connection(std::uint64_t id, FileDescriptor socket, const Codec& codec,
             const ServeContext& context, Connections& connections);
  ~Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // When to tell it kInput again, beside the next input.
  struct Next {
    bool turn = false;  // when the others had their turn
    bool room = false;  // from now on, whenever the socket has room
  };
  // From any thread.
  [[nodiscard]] Next tell(std::uint32_t news);
  // It ends without a word.
  void close();

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const ucred& peer() const { return peer_; }
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] bool has_blocked() const { return has_blocked_; }
  // Precondition: nobody else may be at work on it.
  [[nodiscard]] bool has_served() const { return !first_; }
  [[nodiscard]] bool is_overdue(Clock::time_point now) const;

 private:
  enum class Turn : std::uint8_t { starved, spent, blocked, ended };

  [[nodiscard]] Turn work(std::uint32_t news);
  [[nodiscard]] Turn serve(std::string_view& input, int& left);
  [[nodiscard]] Turn answer(std::string_view message);
  [[nodiscard]] Turn send(std::string reply);
  [[nodiscard]] Turn flush();
  void make_room();
  void hold(std::string_view& input);
  [[nodiscard]] Turn wait_for_more();
  [[nodiscard]] bool note_unfinished(bool unfinished);
  void cut(std::string_view why);

  const std::uint64_t id_;
  FileDescriptor socket_;
  const Codec& codec_;
  const ServeContext context_;
  Connections& connections_;
  ucred peer_{};
  std::atomic<std::uint32_t> news_ = 0;           // and whether somebody works on them
  std::atomic<bool> closed_ = false;              // the descriptor goes with the object
  std::atomic<bool> has_blocked_ = false;         // a reply has waited for room in the socket
  bool blocked_ = false;                          // and one does now
  bool hung_up_ = false;                          // no more input will come
  bool last_ = false;                             // the connection ends after output_
  bool first_ = true;                             // no message was served yet
  bool roomy_ = false;                            // the socket holds the longest reply
  std::string buffer_;                            // input that is not served yet
  std::string output_;                            // of a reply: what the socket has no room for
  std::atomic<Clock::rep> unfinished_since_ = 0;  // 0: there is no unfinished request
};

}  // namespace millrace

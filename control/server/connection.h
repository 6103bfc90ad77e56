// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The connections of the stream sockets: each reads, frames, serves and replies in order.
//
// Theory of operation. Any thread of the server posts events (epoll, edge-triggered) to a
// connection. Single-flight: the thread that finds it idle serves it, and also serves the events
// posted meanwhile, so that no thread ever waits. An idle client costs a descriptor and no buffer.
// A connection yields after kTurn requests, so that a flood of requests delays the other
// connections by no more.
// A reply leaves in one send() if the socket has room for it. The rest of a longer reply follows as
// the client reads. The next request is served after that, so that a connection never keeps more
// than one reply. A client that does not read its reply within kRequestTime is disconnected.
// Input that cannot be delimited is answered with an error and the connection closed: the bytes
// that follow could be anything, even a request inside an SDP.
// Connections and unfinished requests are limited per process: a process that leaks or floods is
// stopped before the other proxies of the host notice. All clients of TCP sockets count as one
// process with few connections. A TLS handshake counts as an unfinished request.

#include <sys/socket.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/log.h"
#include "control/protocol/codec.h"
#include "control/server/tls.h"
#include "dataplane/base/file_descriptor.h"

namespace millrace {

class Connection;

// The client's side of a connection.
struct Client {
  ucred process{};      // UNIX sockets
  std::string address;  // TCP: "192.0.2.1:40000"
};

// All open connections, and the counts for the limits.
class Connections {
 public:
  static constexpr std::size_t kMaxConnections = 4096;
  static constexpr std::size_t kMaxPerProcess = 1024;
  static constexpr std::size_t kMaxUnfinished = 64;  // requests and unread replies, per process
  static constexpr std::size_t kMaxRemote = 16;      // over TCP; a reply may have 16 MiB

  // Empty: added, and find() returns it by its id. Otherwise the limit that refuses it.
  [[nodiscard]] std::string_view add(const std::shared_ptr<Connection>& connection);
  // Removes a connection from all counts. No effect on one that was removed before.
  void remove(std::uint64_t id);
  [[nodiscard]] std::shared_ptr<Connection> find(std::uint64_t id) const;
  // Starts or stops counting a connection's unfinished request or reply. False: its process has
  // kMaxUnfinished already.
  [[nodiscard]] bool set_unfinished(std::uint64_t id, bool unfinished);

  [[nodiscard]] std::vector<std::shared_ptr<Connection>> all() const;
  [[nodiscard]] std::size_t count() const;

  std::atomic<std::uint64_t> disconnected = 0;  // closed by the relay

 private:
  struct Share {
    std::size_t connections = 0;
    std::size_t unfinished = 0;
  };

  // One connection and its counts in its process's share. Counts are removed only with the entry:
  // a share is the sum of its entries and is erased with the last one.
  struct Entry {
    std::shared_ptr<Connection> connection;
    Share& share;
    bool unfinished = false;
  };

  // Key of a share: the process. The kernel reports process id 0 for clients in PID namespaces that
  // are not visible to us: all of them with the same user count as one process.
  // The kernel has neither id for clients of TCP sockets: all of them count as one process, too.
  using Process = std::pair<pid_t, uid_t>;
  [[nodiscard]] static Process process_of(const ucred& peer);

  mutable std::mutex mutex_;
  std::map<Process, Share> shares_;
  std::unordered_map<std::uint64_t, Entry> connections_;  // by id
};

class Connection {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int kTurn = 64;  // requests
  // For a TLS handshake, a request, or to read a reply.
  static constexpr std::chrono::seconds kRequestTime{10};

  // Events of post(), a bit mask.
  static constexpr std::uint32_t kInput = 1;
  static constexpr std::uint32_t kHangup = 2;   // end of input
  static constexpr std::uint32_t kOverdue = 4;  // a request or reply is unfinished for too long

  // `codec`, what `context` refers to, `connections` and `tls` must outlive it. `address`: the
  // client's, over TCP; empty for UNIX sockets.
  Connection(std::uint64_t id, FileDescriptor socket, const Codec& codec,
             const ServeContext& context, Connections& connections, std::string address = {},
             const TlsContext* tls = nullptr);
  ~Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // When to post kInput again, beside the next input.
  struct Next {
    bool turn = false;  // after one turn of the other connections
    bool room = false;  // from now on, whenever the socket has room
  };
  // Serves the events, or leaves them to the thread that serves this connection. Thread-safe.
  [[nodiscard]] Next post(std::uint32_t events);
  // Closes without a reply and without a log line.
  void close();

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const Client& client() const { return client_; }
  // Logs an event with the client's process or address.
  void log(Level level, std::string_view event, std::string_view reason,
           Field more = {"message", ""}) const;
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] bool has_blocked() const { return has_blocked_; }
  // Precondition: no other thread serves the connection.
  [[nodiscard]] bool has_served() const { return !first_; }
  [[nodiscard]] bool is_overdue(Clock::time_point now) const;

 private:
  enum class Turn : std::uint8_t { starved, spent, blocked, ended };

  [[nodiscard]] ssize_t receive(std::span<char> buffer);
  [[nodiscard]] ssize_t transmit(std::string_view bytes);
  [[nodiscard]] bool handshaking() const { return tls_ != nullptr && tls_->handshaking(); }
  [[nodiscard]] Turn work(std::uint32_t events);
  [[nodiscard]] Turn serve(std::string_view& input, int& left);
  [[nodiscard]] Turn answer(std::string_view message);
  [[nodiscard]] Turn send(std::string reply);
  [[nodiscard]] Turn flush();
  void grow_send_buffer();
  void keep_unserved(std::string_view& input);
  [[nodiscard]] Turn wait_for_more();
  [[nodiscard]] bool note_unfinished(bool unfinished);
  void fail_transport();
  void disconnect(std::string_view reason);

  const std::uint64_t id_;
  FileDescriptor socket_;
  const Codec& codec_;
  const ServeContext context_;
  Connections& connections_;
  const std::unique_ptr<TlsSession> tls_;  // null: not encrypted
  Client client_;
  std::atomic<std::uint32_t> events_ = 0;         // posted, and kBusy
  std::atomic<bool> closed_ = false;              // the destructor closes the descriptor
  std::atomic<bool> has_blocked_ = false;         // a reply has waited for room in the socket
  bool blocked_ = false;                          // a reply waits for room now
  bool hung_up_ = false;                          // no more input will come
  bool last_ = false;                             // the connection ends after output_
  bool first_ = true;                             // no message served yet
  bool send_buffer_grown_ = false;                // it holds the longest reply
  std::string buffer_;                            // input not served yet
  std::string output_;                            // rest of a reply: the socket had no room
  std::atomic<Clock::rep> unfinished_since_ = 0;  // 0: no unfinished request or reply
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <asio/post.hpp>

#include "control/log.h"

namespace millrace {

namespace {

thread_local std::array<char, 65536> chunk;  // what was received last, until it is served

}  // namespace

std::string_view Connections::enter(const std::shared_ptr<Connection>& connection) {
  const std::lock_guard lock(mutex_);
  const pid_t process = connection->peer().pid;
  if (connections_.size() >= kMaxConnections) return "too many connections";
  Share& share = shares_[process];
  if (process != 0 && share.connections >= kMaxPerProcess) {
    return "too many connections of one process";
  }
  ++share.connections;
  connections_.emplace(connection.get(), connection);
  return {};
}

void Connections::leave(const Connection& connection) {
  const std::lock_guard lock(mutex_);
  if (connections_.erase(&connection) == 0) return;
  const auto share = shares_.find(connection.peer().pid);
  if (--share->second.connections == 0) shares_.erase(share);
}

bool Connections::begin_unfinished(pid_t process) {
  const std::lock_guard lock(mutex_);
  Share& share = shares_[process];
  if (process != 0 && share.unfinished >= kMaxUnfinished) return false;
  ++share.unfinished;
  return true;
}

void Connections::end_unfinished(pid_t process) {
  const std::lock_guard lock(mutex_);
  --shares_[process].unfinished;
}

std::vector<std::shared_ptr<Connection>> Connections::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [key, weak] : connections_) {
    if (auto connection = weak.lock()) all.push_back(std::move(connection));
  }
  return all;
}

std::size_t Connections::count() const {
  const std::lock_guard lock(mutex_);
  return connections_.size();
}

Connection::Connection(Socket socket, const Codec& codec, Calls& calls,
                       std::shared_ptr<Connections> connections)
    : socket_(std::move(socket)),
      codec_(codec),
      calls_(calls),
      connections_(std::move(connections)) {
  socklen_t size = sizeof peer_;
  ::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer_, &size);
  // Room for the longest reply beside some that are not read yet; the kernel caps it.
  const int send_buffer = 1 << 20;
  ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
}

Connection::~Connection() {
  static_cast<void>(note_unfinished(false));
  connections_->leave(*this);
}

void Connection::wait() {
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const asio::error_code& error) {
    if (!error) self->receive();
  });
}

void Connection::expire(Clock::time_point now) {
  const auto since = Clock::time_point(Clock::duration(unfinished_since_.load()));
  if (since == Clock::time_point() || now - since < kRequestTime) return;
  asio::post(socket_.get_executor(),
             [self = shared_from_this()] { self->cut("request not finished in time"); });
}

void Connection::receive() {
  const ssize_t n = ::recv(socket_.native_handle(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
  if (n <= 0) return close();
  const std::string_view fresh(chunk.data(), static_cast<std::size_t>(n));
  if (!buffer_.empty()) buffer_ += fresh;
  serve(buffer_.empty() ? fresh : buffer_);
}

// Serves what is there, and goes on when the others had their turn, or when more has come.
void Connection::serve(std::string_view input) {
  const Turn turn = serve_turn(input);
  if (turn == Turn::ended) return;
  buffer_ = std::string(input);
  if (turn == Turn::spent) {
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
      if (self->socket_.is_open()) self->serve(self->buffer_);
    });
  } else if (note_unfinished(!buffer_.empty())) {
    wait();
  } else {
    cut("too many unfinished requests of one process");
  }
}

// Answers whole requests at the front of `input` and takes them off.
Connection::Turn Connection::serve_turn(std::string_view& input) {
  for (int served = 0; served < kTurn; ++served) {
    // Line ends after a message belong to none.
    input.remove_prefix(std::min(input.find_first_not_of(" \t\r\n"), input.size()));
    if (input.empty()) return Turn::starved;
    const Extent frame = codec_.frame(input, first_);
    if (frame.state == Extent::State::incomplete) return Turn::starved;
    if (frame.state == Extent::State::malformed) {
      if (send(codec_.refuse(input))) cut("malformed message");
      return Turn::ended;
    }
    first_ = false;
    if (!answer(input.substr(0, frame.size))) return Turn::ended;
    input.remove_prefix(frame.size);
    static_cast<void>(note_unfinished(false));
  }
  return Turn::spent;
}

bool Connection::answer(std::string_view message) {
  const Answer answer = codec_.serve(
      message, {.calls = calls_, .now = Clock::now(), .max_reply = SIZE_MAX, .peer = {}});
  if (!answer.refused.empty()) {
    log_event(Level::warning, "control-refused",
              {{"pid", peer_.pid}, {"message", message}, {"reason", answer.refused}});
  }
  if (!answer.reply.empty() && !send(answer.reply)) return false;
  if (answer.close) close();
  return !answer.close;
}

bool Connection::send(std::string_view reply) {
  ssize_t n = 0;
  do {
    n = ::send(socket_.native_handle(), reply.data(), reply.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(reply.size())) return true;
  if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
    close();
  } else {
    cut("replies are not read");
  }
  return false;
}

// False: the process must not have another one.
bool Connection::note_unfinished(bool unfinished) {
  if (unfinished == (unfinished_since_ != 0)) return true;
  if (!unfinished) {
    unfinished_since_ = 0;
    connections_->end_unfinished(peer_.pid);
    return true;
  }
  if (!connections_->begin_unfinished(peer_.pid)) return false;
  unfinished_since_ = Clock::now().time_since_epoch().count();
  return true;
}

void Connection::cut(std::string_view why) {
  if (!socket_.is_open()) return;
  ++connections_->cut;
  log_event(Level::warning, "control-cut",
            {{"pid", peer_.pid}, {"uid", peer_.uid}, {"reason", why}});
  close();
}

void Connection::close() {
  asio::error_code error;
  if (socket_.close(error)) {
    log_event(Level::debug, "control-close-failed", {{"reason", error.message()}});
  }
}

}  // namespace millrace

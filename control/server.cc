// SPDX-License-Identifier: BSD-3-Clause
#include "control/server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <list>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include <asio/ip/udp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#include <fmt/format.h>

#include "control/log.h"
#include "control/protocol/ng.h"
#include "control/reply_cache.h"

namespace millrace {

namespace {

using Clock = Server::Clock;
using asio::ip::udp;
using asio::local::stream_protocol;

constexpr std::size_t kMaxUnknownNames = 256;
constexpr std::size_t kMaxDatagram = 65'507;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

class Connection;

// What all sockets share. Connections may outlive the Server inside asio, so they co-own it.
class Shared {
 public:
  explicit Shared(Calls& calls) : calls_(calls) {}

  // The reply to one whole message; empty: nothing is to be answered.
  [[nodiscard]] std::string answer(const ng::Message& message) {
    for (const std::string& name : message.unknown) tell_unknown(name);
    return ng::encode(message.cookie, message.encoding,
                      calls_.handle(message.request, Clock::now()));
  }

  // False: there are enough.
  [[nodiscard]] bool enter(const std::shared_ptr<Connection>& connection) {
    const std::lock_guard lock(mutex_);
    if (connections_.size() >= Server::kMaxConnections) return false;
    connections_.emplace(connection.get(), connection);
    return true;
  }
  void leave(const Connection* connection) {
    const std::lock_guard lock(mutex_);
    connections_.erase(connection);
  }
  [[nodiscard]] std::vector<std::shared_ptr<Connection>> connections() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<Connection>> all;
    for (const auto& [key, weak] : connections_) {
      if (auto connection = weak.lock()) all.push_back(std::move(connection));
    }
    return all;
  }
  [[nodiscard]] std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return connections_.size();
  }

 private:
  // Once a name: proxies repeat theirs with every call.
  void tell_unknown(const std::string& name) {
    {
      const std::lock_guard lock(mutex_);
      if (unknown_.size() >= kMaxUnknownNames || !unknown_.insert(name).second) return;
    }
    log_event(Level::info, "unknown-key-ignored", {{"name", name}});
  }

  Calls& calls_;
  mutable std::mutex mutex_;
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> connections_;
  std::set<std::string> unknown_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(stream_protocol::socket socket, std::shared_ptr<Shared> shared)
      : socket_(std::move(socket)), shared_(std::move(shared)) {
    socklen_t size = sizeof peer_;
    ::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer_, &size);
    // Room for the longest reply beside some that are not read yet; the kernel caps it.
    const int send_buffer = 1 << 20;
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    log_event(Level::debug, "control-connected", {{"pid", peer_.pid}, {"uid", peer_.uid}});
  }
  ~Connection() { shared_->leave(this); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void wait() {
    socket_.async_wait(stream_protocol::socket::wait_read,
                       [self = shared_from_this()](const asio::error_code& error) {
                         if (!error) self->receive();
                       });
  }

  // Cuts the connection if a request has been unfinished for too long. From any thread.
  void expire(Clock::time_point now) {
    const auto since = Clock::time_point(Clock::duration(unfinished_since_.load()));
    if (since == Clock::time_point() || now - since < Server::kRequestTime) return;
    asio::post(socket_.get_executor(),
               [self = shared_from_this()] { self->cut("request not finished in time"); });
  }

 private:
  void receive() {
    thread_local std::array<char, 65536> chunk;
    const ssize_t n = ::recv(socket_.native_handle(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
    if (n <= 0) return close();
    const std::string_view fresh(chunk.data(), static_cast<std::size_t>(n));
    if (!buffer_.empty()) buffer_ += fresh;
    std::string_view input = buffer_.empty() ? fresh : buffer_;
    if (!serve(input)) return;
    // Line ends after a message belong to none.
    input.remove_prefix(std::min(input.find_first_not_of(" \t\r\n"), input.size()));
    buffer_ = std::string(input);
    if (buffer_.empty()) {
      unfinished_since_ = 0;
    } else if (unfinished_since_ == 0) {
      unfinished_since_ = Clock::now().time_since_epoch().count();
    }
    wait();
  }

  // Answers every whole request at the front of `input` and takes it off; false: the end.
  [[nodiscard]] bool serve(std::string_view& input) {
    while (!input.empty()) {
      const ng::Frame frame = ng::frame(input);
      if (frame.state == ng::Frame::State::incomplete) return true;
      if (frame.state == ng::Frame::State::malformed) {
        const auto message = ng::parse(input);
        const std::string known = message ? "" : message.error();
        const bool sent = send(known.empty() ? ng::encode("", ng::Encoding::bencode,
                                                          reply::Failure{"Invalid NG data format"})
                                             : known);
        if (sent) cut("malformed message");
        return false;
      }
      if (!answer(input.substr(0, frame.size))) return false;
      input.remove_prefix(frame.size);
      unfinished_since_ = 0;
    }
    return true;
  }

  [[nodiscard]] bool answer(std::string_view bytes) {
    const auto message = ng::parse(bytes);
    if (message) return send(shared_->answer(*message));
    log_event(Level::warning, "control-refused",
              {{"pid", peer_.pid}, {"message", bytes}, {"reply", message.error()}});
    return message.error().empty() || send(message.error());
  }

  [[nodiscard]] bool send(std::string_view reply) {
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

  void cut(std::string_view why) {
    if (!socket_.is_open()) return;
    log_event(Level::warning, "control-cut",
              {{"pid", peer_.pid}, {"uid", peer_.uid}, {"reason", why}});
    close();
  }
  void close() {
    asio::error_code ignored;
    static_cast<void>(socket_.close(ignored));
  }

  stream_protocol::socket socket_;
  std::shared_ptr<Shared> shared_;
  ucred peer_{};
  std::string buffer_;                            // of an unfinished request
  std::atomic<Clock::rep> unfinished_since_ = 0;  // 0: there is none
};

// Takes the connections of one UNIX socket.
class Acceptor {
 public:
  Acceptor(asio::io_context& io, int fd, std::shared_ptr<Shared> shared)
      : io_(io), acceptor_(io, stream_protocol(), fd), pause_(io), shared_(std::move(shared)) {}

  void accept() {
    acceptor_.async_accept(asio::make_strand(io_),
                           [this](const asio::error_code& error, auto socket) {
                             if (error == asio::error::operation_aborted) return;
                             if (error) return retry_later(error);
                             serve(std::move(socket));
                             accept();
                           });
  }

 private:
  void serve(stream_protocol::socket socket) {
    const auto connection = std::make_shared<Connection>(std::move(socket), shared_);
    if (shared_->enter(connection)) {
      connection->wait();
    } else {  // closed, so that the proxy asks another relay instead of waiting
      log_event(Level::warning, "control-refused", {{"reason", "too many connections"}});
    }
  }
  // Out of descriptors or memory: the next attempt would fail as fast.
  void retry_later(const asio::error_code& error) {
    log_event(Level::error, "control-accept-failed", {{"reason", error.message()}});
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](const asio::error_code& stopped) {
      if (!stopped) accept();
    });
  }

  asio::io_context& io_;
  stream_protocol::acceptor acceptor_;
  asio::steady_timer pause_;
  std::shared_ptr<Shared> shared_;
};

IpAddress from_asio(const asio::ip::address& address) {
  return address.is_v4() ? IpAddress::v4(Be32(address.to_v4().to_uint()))
                         : IpAddress::v6(address.to_v6().to_bytes());
}

// Serves one UDP socket, a datagram at a time.
class Datagrams {
 public:
  Datagrams(asio::io_context& io, int fd, bool v4, std::shared_ptr<Shared> shared)
      : socket_(io, v4 ? udp::v4() : udp::v6(), fd), shared_(std::move(shared)) {}

  void receive() {
    socket_.async_receive_from(asio::buffer(datagram_), peer_,
                               [this](const asio::error_code& error, std::size_t size) {
                                 if (error == asio::error::operation_aborted) return;
                                 if (!error) serve(std::string_view(datagram_.data(), size));
                                 receive();
                               });
  }

 private:
  void serve(std::string_view bytes) {
    const auto message = ng::parse(bytes);
    const bool no_cookie = message ? message->cookie.empty() : message.error().empty();
    if (no_cookie || !message) {
      log_event(Level::warning, "control-refused",
                {{"peer", Endpoint{from_asio(peer_.address()), UdpPort(peer_.port())}.text()},
                 {"message", bytes},
                 {"reply", no_cookie ? std::string_view("none, it has no cookie")
                                     : std::string_view(message.error())}});
      if (!no_cookie) send(message.error());
      return;
    }
    const Endpoint peer{from_asio(peer_.address()), UdpPort(peer_.port())};
    auto [state, reply] = replies_.claim(peer, message->cookie, Clock::now());
    if (state == ReplyCache::State::pending) return;
    if (state == ReplyCache::State::fresh) {
      reply = shared_->answer(*message);
      if (reply.size() > kMaxDatagram) {
        reply = ng::encode(message->cookie, message->encoding,
                           reply::Failure{"Reply is too long for a datagram"});
      }
      replies_.store(peer, message->cookie, reply, Clock::now());
    }
    send(reply);
  }

  // What the kernel does not take is lost as any datagram may be; the proxy asks again.
  void send(const std::string& reply) {
    asio::error_code error;
    socket_.send_to(asio::buffer(reply), peer_, MSG_DONTWAIT, error);
    if (error) log_event(Level::warning, "control-reply-lost", {{"reason", error.message()}});
  }

  udp::socket socket_;
  udp::endpoint peer_;
  std::array<char, 65536> datagram_{};
  ReplyCache replies_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace

struct Server::Impl {
  asio::io_context& io;
  const std::vector<Listener>& listeners;
  std::shared_ptr<Shared> shared;
  std::list<Acceptor> acceptors;
  std::list<Datagrams> datagrams;
};

Server::Server(asio::io_context& io, const std::vector<Listener>& listeners, Calls& calls)
    : impl_(new Impl{io, listeners, std::make_shared<Shared>(calls), {}, {}}) {}

Server::~Server() = default;

Result<void> Server::start() {
  for (const Listener& listener : impl_->listeners) {
    if (auto listening = listener.listen(); !listening) return listening;
    const int fd = ::fcntl(listener.fd(), F_DUPFD_CLOEXEC, 0);  // asio closes its own
    if (const auto& endpoint = listener.config().udp) {
      const bool v4 = endpoint->address.is_v4();
      impl_->datagrams.emplace_back(impl_->io, fd, v4, impl_->shared).receive();
    } else {
      impl_->acceptors.emplace_back(impl_->io, fd, impl_->shared).accept();
    }
  }
  return {};
}

void Server::expire(Clock::time_point now) {
  for (const auto& connection : impl_->shared->connections()) connection->expire(now);
}

std::size_t Server::connections() const { return impl_->shared->count(); }

}  // namespace millrace

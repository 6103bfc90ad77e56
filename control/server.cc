// SPDX-License-Identifier: BSD-3-Clause
#include "control/server.h"

#include <fcntl.h>

#include <atomic>
#include <list>
#include <utility>

#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>

#include "control/codecs.h"
#include "control/connection.h"
#include "control/datagrams.h"
#include "control/log.h"

namespace millrace {

namespace {

using asio::local::stream_protocol;

constexpr auto kAcceptPause = std::chrono::milliseconds(100);

struct Refusals {
  std::atomic<std::uint64_t> peers = 0;
  std::atomic<std::uint64_t> limits = 0;
};

// Takes the connections of one UNIX socket.
class Acceptor {
 public:
  Acceptor(asio::io_context& io, int fd, const Listener& listener, Calls& calls,
           std::shared_ptr<Connections> connections, Refusals& refusals)
      : io_(io),
        acceptor_(io, stream_protocol(), fd),
        pause_(io),
        listener_(listener),
        calls_(calls),
        connections_(std::move(connections)),
        refusals_(refusals) {}

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
  // Who is refused is closed at once, so that a proxy asks another relay instead of waiting.
  void serve(stream_protocol::socket socket) {
    const Codec& codec = codec_of(listener_.config().protocol);
    const auto connection =
        std::make_shared<Connection>(std::move(socket), codec, calls_, connections_);
    if (!listener_.admits(connection->peer().uid)) {
      ++refusals_.peers;
      return tell(Level::warning, "control-peer-refused", connection->peer(),
                  "the user is not among the socket's peers");
    }
    if (const std::string_view full = connections_->enter(connection); !full.empty()) {
      ++refusals_.limits;
      return tell(Level::warning, "control-refused", connection->peer(), full);
    }
    tell(Level::debug, "control-connected", connection->peer(), "");
    connection->wait();
  }

  void tell(Level level, std::string_view event, const ucred& peer, std::string_view reason) const {
    log_event(
        level, event,
        {{"socket", listener_.name()}, {"pid", peer.pid}, {"uid", peer.uid}, {"reason", reason}});
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
  const Listener& listener_;
  Calls& calls_;
  std::shared_ptr<Connections> connections_;
  Refusals& refusals_;
};

}  // namespace

struct Server::Impl {
  asio::io_context& io;
  const std::vector<Listener>& listeners;
  Calls& calls;
  std::shared_ptr<Connections> connections = std::make_shared<Connections>();
  Refusals refusals = {};
  std::list<Acceptor> acceptors = {};
  std::list<Datagrams> datagrams = {};
};

Server::Server(asio::io_context& io, const std::vector<Listener>& listeners, Calls& calls)
    : impl_(new Impl{.io = io, .listeners = listeners, .calls = calls}) {}

Server::~Server() = default;

Result<void> Server::start() {
  Impl& impl = *impl_;
  for (const Listener& listener : impl.listeners) {
    if (auto listening = listener.listen(); !listening) return listening;
    const int fd = ::fcntl(listener.fd(), F_DUPFD_CLOEXEC, 0);  // asio closes its own
    if (const auto& endpoint = listener.config().udp) {
      impl.datagrams
          .emplace_back(impl.io, fd, endpoint->address.is_v4(),
                        codec_of(listener.config().protocol), impl.calls)
          .receive();
    } else {
      impl.acceptors
          .emplace_back(impl.io, fd, listener, impl.calls, impl.connections, impl.refusals)
          .accept();
    }
  }
  return {};
}

void Server::expire(Clock::time_point now) {
  for (const auto& connection : impl_->connections->all()) connection->expire(now);
}

ServerReport Server::report() const {
  return {.connections = impl_->connections->count(),
          .peers_refused = impl_->refusals.peers,
          .refused = impl_->refusals.limits,
          .cut = impl_->connections->cut};
}

}  // namespace millrace

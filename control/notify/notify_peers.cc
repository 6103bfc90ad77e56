// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/notify_peers.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/write.hpp>
#include <fmt/format.h>

#include "control/log.h"
#include "control/notify/notification.h"
#include "dataplane/base/text.h"

namespace millrace {

// ---- ProxyPeer -------------------------------------------------------------------------------

// Ids start at random: a late reply to an earlier run of the relay must not match.
ProxyPeer::ProxyPeer(const asio::any_io_executor& strand, const Notify& config,
                     std::chrono::seconds max_age, FileDescriptor replies)
    : type_(config.type),
      socket_(strand, asio::local::datagram_protocol(), replies.release()),
      proxy_(config.proxy),
      last_id_(std::random_device()() & 0x3fffffffU),
      outbox_(config.proxy, max_age, [this](const auto& message) { send(message); }) {
  receive();
}

void ProxyPeer::notify(const Event& event, const event::End& end) {
  if (type_ == NotifyType::kamailio) {
    for (const auto& dialog : end.dialogs) {
      push(event.call_id, notification::kamailio(++last_id_, event.call_id, dialog));
    }
  } else if (!end.dialogs.empty()) {
    const std::string_view dialog = end.dialog_id.empty() ? event.call_id : end.dialog_id;
    push(event.call_id, notification::opensips(++last_id_, dialog));
  }
}

void ProxyPeer::push(std::string_view call_id, std::string bytes) {
  outbox_.push({.id = last_id_,
                .call_id = std::string(call_id),
                .bytes = std::move(bytes),
                .since = Outbox::Clock::now()});
}

void ProxyPeer::send(const Outbox::Message& message) {
  const ssize_t n =
      ::sendto(socket_.native_handle(), message.bytes.data(), message.bytes.size(),
               MSG_DONTWAIT | MSG_NOSIGNAL, proxy_.data(), static_cast<socklen_t>(proxy_.size()));
  if (n < 0) outbox_.failed(message.id, error_text(errno));
}

void ProxyPeer::receive() {
  socket_.async_wait(
      asio::local::datagram_protocol::socket::wait_read, [this](const asio::error_code& error) {
        if (error) return;
        std::array<char, 4096> datagram{};
        for (std::size_t i = 0; i < Outbox::kInFlight; ++i) {
          const ssize_t n =
              ::recv(socket_.native_handle(), datagram.data(), datagram.size(), MSG_DONTWAIT);
          if (n < 0) break;
          handle_reply({datagram.data(), static_cast<std::size_t>(n)});
        }
        receive();
      });
}

void ProxyPeer::handle_reply(std::string_view datagram) {
  const auto reply = notification::parse_reply(datagram);
  if (!reply) return;
  const Outbox::Message* request = outbox_.in_flight(reply->id);
  if (request == nullptr) return;  // dropped, or not a request of this run
  log_event(Level::info, "notification-sent",
            {{"peer", outbox_.peer()},
             {"call-id", request->call_id},
             {"answer", reply->error.empty() ? "ok" : reply->error}});
  outbox_.delivered(reply->id, Outbox::Clock::now());
}

// ---- TagPeer ---------------------------------------------------------------------------------

// One attempt to deliver one message. Owned by its handlers.
class TagPeer::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(const asio::any_io_executor& strand, TagPeer& peer, const Outbox::Message& message)
      : peer_(&peer), id_(message.id), bytes_(message.bytes), socket_(strand) {}

  void start(const Endpoint& endpoint) {
    socket_.async_connect(endpoint, [self = shared_from_this()](const asio::error_code& error) {
      self->write(error);
    });
  }
  // No reports to the peer after this.
  void close() {
    peer_ = nullptr;
    asio::error_code error;
    if (socket_.close(error)) {
      log_event(Level::debug, "notify-close-failed", {{"reason", error.message()}});
    }
  }

 private:
  void write(const asio::error_code& refused) {
    if (peer_ == nullptr) return;
    if (refused) return peer_->finish(id_, refused);
    asio::async_write(
        socket_, asio::buffer(bytes_),
        [self = shared_from_this()](const asio::error_code& error, std::size_t /*size*/) {
          if (self->peer_ != nullptr) self->peer_->finish(self->id_, error);
        });
  }

  TagPeer* peer_;  // null: closed
  std::uint64_t id_;
  std::string bytes_;
  asio::generic::stream_protocol::socket socket_;
};

Result<TagPeer::Endpoint> TagPeer::parse(std::string_view socket) {
  const auto wrong = [&] {
    return fail(fmt::format(
        "'{}' is not a notification socket; write tcp:ADDRESS:PORT or unix:/PATH", socket));
  };
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kTcp = "tcp:";
  const std::string_view path = socket.starts_with(kUnix) ? socket.substr(kUnix.size()) : socket;
  if (path.starts_with('/')) {
    if (path.size() > kMaxSocketPath) return wrong();
    return Endpoint(asio::local::stream_protocol::endpoint(path));
  }
  if (!socket.starts_with(kTcp)) return wrong();
  std::string text(socket.substr(kTcp.size()));
  // Some clients omit the brackets of IPv6.
  if (const std::size_t colon = text.rfind(':'); text[0] != '[' && text.find(':') != colon) {
    text.insert(colon, "]").insert(0, "[");
  }
  const auto at = millrace::Endpoint::parse(text);
  if (!at || at->address.is_unspecified() || at->address.is_multicast_or_broadcast())
    return wrong();
  return Endpoint(
      asio::ip::tcp::endpoint(asio::ip::make_address(at->address.text()), at->port.number()));
}

TagPeer::TagPeer(asio::any_io_executor strand, std::string name, Endpoint endpoint,
                 std::chrono::seconds max_age)
    : strand_(std::move(strand)),
      endpoint_(std::move(endpoint)),
      outbox_(std::move(name), max_age, [this](const auto& message) { send(message); }) {}

TagPeer::~TagPeer() {
  for (const auto& [id, connection] : connections_) connection->close();
}

void TagPeer::notify(std::string_view call_id, std::string line) {
  outbox_.push({.id = ++last_id_,
                .call_id = std::string(call_id),
                .bytes = std::move(line),
                .since = Outbox::Clock::now()});
}

void TagPeer::advance(Outbox::Time now) {
  outbox_.advance(now);
  std::erase_if(connections_, [&](const auto& entry) {
    const bool given_up = outbox_.in_flight(entry.first) == nullptr;
    if (given_up) entry.second->close();
    return given_up;
  });
}

void TagPeer::send(const Outbox::Message& message) {
  close(message.id);  // the previous attempt timed out
  const auto connection = std::make_shared<Connection>(strand_, *this, message);
  connections_.emplace(message.id, connection);
  connection->start(endpoint_);
}

void TagPeer::close(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  found->second->close();
  connections_.erase(found);
}

void TagPeer::finish(std::uint64_t id, const asio::error_code& error) {
  close(id);
  const Outbox::Message* message = outbox_.in_flight(id);
  if (message == nullptr) return;
  if (error) return outbox_.failed(id, error.message());
  log_event(Level::info, "notification-sent",
            {{"peer", outbox_.peer()}, {"call-id", message->call_id}});
  outbox_.delivered(id, Outbox::Clock::now());
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/notify_peers.h"

#include <sys/socket.h>

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

namespace millrace {

namespace {

std::string error_text(int error) { return std::generic_category().message(error); }

}  // namespace

// ---- ProxyPeer -------------------------------------------------------------------------------

// Ids start anywhere, so that an answer to a relay that ran before is not taken for one to us.
ProxyPeer::ProxyPeer(const asio::any_io_executor& strand, const Notify& config, int fd)
    : type_(config.type),
      socket_(strand, asio::local::datagram_protocol(), fd),
      proxy_(config.proxy),
      last_id_(std::random_device()() & 0x3fffffffU),
      outbox_(strand, config.proxy, [this](const auto& message) { attempt(message); }) {
  receive();
}

void ProxyPeer::tell(const Event& event, const event::End& end) {
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

void ProxyPeer::attempt(const Outbox::Message& message) {
  const ssize_t n =
      ::sendto(socket_.native_handle(), message.bytes.data(), message.bytes.size(),
               MSG_DONTWAIT | MSG_NOSIGNAL, proxy_.data(), static_cast<socklen_t>(proxy_.size()));
  if (n < 0) outbox_.failed(error_text(errno));
}

void ProxyPeer::receive() {
  socket_.async_wait(
      asio::local::datagram_protocol::socket::wait_read, [this](const asio::error_code& error) {
        if (error) return;
        std::array<char, 4096> datagram{};
        const ssize_t n =
            ::recv(socket_.native_handle(), datagram.data(), datagram.size(), MSG_DONTWAIT);
        if (n > 0) take_answer({datagram.data(), static_cast<std::size_t>(n)});
        receive();
      });
}

void ProxyPeer::take_answer(std::string_view datagram) {
  const auto answer = notification::parse_answer(datagram);
  const Outbox::Message* asked = outbox_.current();
  if (!answer || asked == nullptr || answer->id != asked->id) return;  // late, or nobody's
  log_event(Level::info, "proxy-told",
            {{"peer", outbox_.peer()},
             {"call-id", asked->call_id},
             {"answer", answer->error.empty() ? "ok" : answer->error}});
  outbox_.delivered();
}

// ---- TagPeer ---------------------------------------------------------------------------------

Result<TagPeer::Endpoint> TagPeer::parse(std::string_view socket) {
  const auto wrong = [&] {
    return fail(fmt::format("'{}' is no notification socket; write tcp:ADDRESS:PORT or unix:/PATH",
                            socket));
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
  // Some leave out the brackets of IPv6.
  if (const std::size_t colon = text.rfind(':'); text[0] != '[' && text.find(':') != colon) {
    text.insert(colon, "]").insert(0, "[");
  }
  const auto at = millrace::Endpoint::parse(text);
  if (!at) return wrong();
  return Endpoint(
      asio::ip::tcp::endpoint(asio::ip::make_address(at->address.text()), at->port.number()));
}

TagPeer::TagPeer(const asio::any_io_executor& strand, std::string name, Endpoint endpoint)
    : endpoint_(std::move(endpoint)),
      socket_(strand),
      outbox_(strand, std::move(name), [this](const auto& message) { attempt(message); }) {}

void TagPeer::tell(std::string_view call_id, std::string line) {
  told_ = Outbox::Clock::now();
  outbox_.push({.id = ++last_id_,
                .call_id = std::string(call_id),
                .bytes = std::move(line),
                .since = told_});
}

// Within kMaxAge the last message is delivered or given up; an attempt ends much sooner.
bool TagPeer::is_idle(Outbox::Clock::time_point now) const {
  return outbox_.empty() && now - told_ > 2 * Outbox::kMaxAge;
}

void TagPeer::attempt(const Outbox::Message& message) {
  abandon();  // an attempt that had no answer
  const auto out = std::make_shared<const Outbox::Message>(message);
  socket_.async_connect(endpoint_, [this, out](const asio::error_code& refused) {
    if (refused) return finish(*out, refused);
    asio::async_write(socket_, asio::buffer(out->bytes),
                      [this, out](const asio::error_code& broken, std::size_t /*size*/) {
                        finish(*out, broken);
                      });
  });
}

void TagPeer::abandon() {
  asio::error_code error;
  if (socket_.close(error)) {
    log_event(Level::debug, "notify-close-failed", {{"reason", error.message()}});
  }
}

void TagPeer::finish(const Outbox::Message& message, const asio::error_code& error) {
  const Outbox::Message* current = outbox_.current();
  if (current == nullptr || current->id != message.id || error == asio::error::operation_aborted) {
    return;  // of an attempt that is over
  }
  abandon();
  if (error) return outbox_.failed(error.message());
  log_event(Level::info, "proxy-told", {{"peer", outbox_.peer()}, {"call-id", message.call_id}});
  outbox_.delivered();
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// SIP proxies to notify when the relay ends a call.
//
// A ProxyPeer is the JSON-RPC socket of Kamailio or OpenSIPS. Requests are datagrams from a socket
// of the relay, which also receives the replies. An error reply ("no such dialog") counts as
// delivered. A TagPeer is a stream socket as rtpproxy's clients open it: connect, one line, close.
//
// Lifetime. Asio calls handlers even after their socket is closed. A ProxyPeer lives as long as the
// io_context runs. A TagPeer may be destroyed at any time: its handlers hold their Connection,
// which clears its pointer to the peer when it is closed.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <asio/generic/stream_protocol.hpp>
#include <asio/local/datagram_protocol.hpp>

#include "control/config/config.h"
#include "control/notify/event.h"
#include "control/notify/outbox.h"
#include "dataplane/base/file_descriptor.h"

namespace millrace {

class ProxyPeer {
 public:
  // `replies` is bound to config.own.
  ProxyPeer(const asio::any_io_executor& strand, const Notify& config, std::chrono::seconds max_age,
            FileDescriptor replies);

  void notify(const Event& event, const event::End& end);
  void advance(Outbox::Time now) { outbox_.advance(now); }
  [[nodiscard]] Outbox& outbox() { return outbox_; }

 private:
  void push(std::string_view call_id, std::string bytes);
  void send(const Outbox::Message& message);
  void receive();
  void handle_reply(std::string_view datagram);

  NotifyType type_;
  asio::local::datagram_protocol::socket socket_;
  asio::local::datagram_protocol::endpoint proxy_;
  std::uint64_t last_id_ = 0;
  Outbox outbox_;
};

class TagPeer {
 public:
  using Endpoint = asio::generic::stream_protocol::endpoint;

  // "tcp:192.0.2.1:9000", "unix:/path" or "/path".
  [[nodiscard]] static Result<Endpoint> parse(std::string_view socket);

  TagPeer(asio::any_io_executor strand, std::string name, Endpoint endpoint,
          std::chrono::seconds max_age);
  ~TagPeer();
  TagPeer(const TagPeer&) = delete;
  TagPeer& operator=(const TagPeer&) = delete;

  // `line` ends with a newline.
  void notify(std::string_view call_id, std::string line);
  void advance(Outbox::Time now);
  [[nodiscard]] bool idle() const { return outbox_.empty(); }
  [[nodiscard]] Outbox& outbox() { return outbox_; }

 private:
  class Connection;
  void send(const Outbox::Message& message);
  void close(std::uint64_t id);
  void finish(std::uint64_t id, const asio::error_code& error);

  asio::any_io_executor strand_;
  Endpoint endpoint_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Connection>> connections_;  // of messages in flight
  Outbox outbox_;
};

}  // namespace millrace

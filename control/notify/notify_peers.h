// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The peers that are told when a call ends by itself: SIP proxies, each way they listen.
//
// A ProxyPeer is the JSON-RPC socket of Kamailio or OpenSIPS: a datagram goes out from a socket of
// our own, which the answer comes back to. An error in the answer ("no such dialog") is an answer.
// A TagPeer is a stream socket as rtpproxy's clients open it: connect, one line, close.
// Neither waits for anything but in the background; their Outbox bounds how long and how often.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <asio/generic/stream_protocol.hpp>
#include <asio/local/datagram_protocol.hpp>

#include "control/config/config.h"
#include "control/notify/event.h"
#include "control/notify/outbox.h"

namespace millrace {

class ProxyPeer {
 public:
  // `fd` is config.own, bound.
  ProxyPeer(const asio::any_io_executor& strand, const Notify& config, int fd);

  void tell(const Event& event, const event::End& end);
  [[nodiscard]] Outbox& outbox() { return outbox_; }

 private:
  void push(std::string_view call_id, std::string bytes);
  void attempt(const Outbox::Message& message);
  void receive();
  void take_answer(std::string_view datagram);

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

  TagPeer(const asio::any_io_executor& strand, std::string name, Endpoint endpoint);

  // `line` ends with a newline.
  void tell(std::string_view call_id, std::string line);
  // Nothing is out, nor has been for so long that no handler of it is left: it may go.
  [[nodiscard]] bool is_idle(Outbox::Clock::time_point now) const;
  [[nodiscard]] Outbox& outbox() { return outbox_; }

 private:
  void attempt(const Outbox::Message& message);
  void finish(const Outbox::Message& message, const asio::error_code& error);
  void abandon();

  Endpoint endpoint_;
  asio::generic::stream_protocol::socket socket_;
  std::uint64_t last_id_ = 0;
  Outbox::Clock::time_point told_;  // last
  Outbox outbox_;
};

}  // namespace millrace

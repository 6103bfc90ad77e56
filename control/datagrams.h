// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One UDP control socket, a datagram at a time: a request each, with a cookie that its reply
// repeats. A retransmission gets the reply that was sent before (reply_cache.h).

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include <asio/io_context.hpp>
#include <asio/ip/udp.hpp>

#include "control/calls.h"
#include "control/protocol/codec.h"
#include "control/reply_cache.h"

namespace millrace {

class Datagrams {
 public:
  // Takes `fd`. `codec` must know cookies; it and `calls` must outlive this.
  Datagrams(asio::io_context& io, int fd, bool v4, const Codec& codec, Calls& calls);

  void receive();

 private:
  void serve(std::string_view datagram);
  void send(const std::string& reply);

  asio::ip::udp::socket socket_;
  const Codec& codec_;
  Calls& calls_;
  asio::ip::udp::endpoint peer_;
  std::array<char, 65536> datagram_{};
  ReplyCache replies_;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One UDP control socket: one request per datagram, with a cookie that the reply repeats.
//
// A retransmission gets the earlier reply again (reply_cache.h). Up to kBatch datagrams are
// received with one recvmmsg(), served, and answered with one sendmmsg(): waking the readers is the
// largest cost, and replies sent together wake them fewer times. Thread-safe.

#include <string>
#include <string_view>

#include "control/protocol/codec.h"
#include "control/server/reply_cache.h"

namespace millrace {

class Datagrams {
 public:
  static constexpr std::size_t kBatch = 16;
  static constexpr std::size_t kTurn = 4;  // batches

  // Precondition: `codec` has a cookie function. It and what `context` refers to must outlive this.
  Datagrams(int fd, const Codec& codec, const ServeContext& context)
      : fd_(fd), codec_(codec), context_(context) {}

  // Serves the datagrams received, kTurn batches at most. True: there may be more.
  [[nodiscard]] bool receive();

 private:
  struct Batch;

  [[nodiscard]] std::size_t receive(Batch& batch);
  void send(Batch& batch, std::size_t count) const;
  [[nodiscard]] std::string reply_to(std::string_view datagram, const Endpoint& peer);

  int fd_;
  const Codec& codec_;
  const ServeContext context_;
  ReplyCache replies_;
};

}  // namespace millrace

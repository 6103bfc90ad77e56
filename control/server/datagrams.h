// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One UDP control socket: a request a datagram, with a cookie that its reply repeats. A
// retransmission gets the reply that was sent before (reply_cache.h). What has come is taken and
// answered up to kBatch datagrams at a time: replies that leave together wake their readers, which
// costs more than all else, fewer times. Thread-safe.

#include <string>
#include <string_view>

#include "control/protocol/codec.h"
#include "control/server/reply_cache.h"

namespace millrace {

class Datagrams {
 public:
  static constexpr std::size_t kBatch = 16;
  static constexpr std::size_t kTurn = 4;  // batches

  // `codec` must know cookies. It and what `context` refers to must outlive this.
  Datagrams(int fd, const Codec& codec, const ServeContext& context)
      : fd_(fd), codec_(codec), context_(context) {}

  // Serves what has come, a turn of it; true: there may be more.
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

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Serves event lines to every reader that connects to a UNIX stream socket.
//
// A reader gets every line published after its connect() has returned: before each line the stream
// accepts all pending connections. Up to kMaxBehind bytes are queued for a slow reader; readers
// further behind are disconnected. Readers past kMaxReaders are closed at once. Input from readers
// is discarded. All readers share the lines, so memory is bounded by one kMaxBehind. Not
// thread-safe: all calls on one strand.

#include <list>
#include <memory>
#include <string>

#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>

#include "dataplane/base/file_descriptor.h"

namespace millrace {

class EventStream {
 public:
  static constexpr std::size_t kMaxReaders = 16;
  static constexpr std::size_t kMaxBehind = std::size_t{64} << 20;  // 10,000 ends are 20 MB

  // `listening`: a listening UNIX stream socket.
  EventStream(const asio::any_io_executor& strand, FileDescriptor listening);
  ~EventStream();
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  void publish(const std::shared_ptr<const std::string>& line);
  // Whether every line is written to every reader.
  [[nodiscard]] bool empty() const;
  // Whether a reader is more than kMaxBehind / 2 behind and still reads: waiting for it helps.
  [[nodiscard]] bool congested() const;
  // Disconnects readers with unwritten lines.
  void abandon();

 private:
  class Reader;
  void wait();
  [[nodiscard]] asio::error_code accept_all();
  void serve(asio::local::stream_protocol::socket socket);
  void forget_closed();

  asio::local::stream_protocol::acceptor acceptor_;
  asio::steady_timer pause_;
  std::list<std::shared_ptr<Reader>> readers_;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Serves event lines to every reader that connects to a UNIX stream socket.
//
// A reader gets every line published after its connect() has returned: before each line the stream
// accepts all connections that wait. Lines wait for a slow reader up to kMaxBehind bytes; readers
// further behind are cut off. Readers past kMaxReaders are closed at once. Input from readers is
// discarded. All readers share the lines, so memory is bounded by kMaxBehind once. Not
// thread-safe: all on one strand.

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

  // `listening` is a UNIX stream socket, bound and listening.
  EventStream(const asio::any_io_executor& strand, FileDescriptor listening);
  ~EventStream();
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  void publish(const std::shared_ptr<const std::string>& line);
  // Every line is written to every reader.
  [[nodiscard]] bool empty() const;
  // A reader is half as far behind as it may be, and does read: worth waiting for.
  [[nodiscard]] bool congested() const;
  // Cuts off readers that are behind.
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

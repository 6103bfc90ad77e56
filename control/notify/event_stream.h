// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Lines for whoever connects to a UNIX stream socket and reads.
//
// Each reader gets every line from its connection on. Lines wait for a slow reader up to kMaxBehind
// bytes; one that is further behind is cut off, and so is whoever comes when there are kMaxReaders.
// What readers send is thrown away. Not thread-safe: all on one strand.

#include <list>
#include <memory>
#include <string>

#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>

namespace millrace {

class EventStream {
 public:
  static constexpr std::size_t kMaxReaders = 16;
  static constexpr std::size_t kMaxBehind = std::size_t{8} << 20;

  // `fd` is a UNIX stream socket, bound and listening.
  EventStream(const asio::any_io_executor& strand, int fd);
  ~EventStream();
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  void publish(const std::shared_ptr<const std::string>& line);
  // No reader has anything to read any more.
  [[nodiscard]] bool empty() const;

 private:
  class Reader;
  void accept();
  void serve(asio::local::stream_protocol::socket socket);
  void forget_closed();

  asio::local::stream_protocol::acceptor acceptor_;
  asio::steady_timer pause_;
  std::list<std::shared_ptr<Reader>> readers_;
};

}  // namespace millrace

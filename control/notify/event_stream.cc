// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/event_stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <utility>
#include <vector>

#include <asio/buffer.hpp>
#include <asio/write.hpp>

#include "control/log.h"

namespace millrace {

using asio::local::stream_protocol;

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kStalled = std::chrono::seconds(1);  // without a write
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
constexpr std::size_t kLinesAtOnce = 64;  // per write; the kernel takes 1024 pieces (IOV_MAX)

}  // namespace

class EventStream::Reader : public std::enable_shared_from_this<Reader> {
 public:
  explicit Reader(stream_protocol::socket socket) : socket_(std::move(socket)) {
    socklen_t size = sizeof peer_;
    ::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer_, &size);
    log_event(Level::info, "event-reader", {{"pid", peer_.pid}, {"uid", peer_.uid}});
  }

  void send(const std::shared_ptr<const std::string>& line) {
    if (!open()) return;
    lines_.push_back(line);
    behind_ += line->size();
    if (behind_ > kMaxBehind) return cut("more than 64 MiB behind");
    if (writing_ == 0) write();
  }
  // Detects the end of the connection; discards input.
  void discard_input() {
    socket_.async_read_some(
        asio::buffer(ignored_),
        [self = shared_from_this()](const asio::error_code& error, std::size_t /*size*/) {
          if (error) return self->close();
          self->discard_input();
        });
  }
  void cut(std::string_view why) {
    log_event(Level::warning, "event-reader-cut",
              {{"pid", peer_.pid}, {"uid", peer_.uid}, {"reason", why}});
    close();
  }
  [[nodiscard]] bool open() const { return socket_.is_open(); }
  [[nodiscard]] bool congested() const {
    return open() && behind_ > kMaxBehind / 2 && Clock::now() - progress_ < kStalled;
  }
  [[nodiscard]] bool idle() const { return lines_.empty() || !open(); }

 private:
  void write() {
    writing_ = std::min(lines_.size(), kLinesAtOnce);
    std::vector<asio::const_buffer> pieces;
    pieces.reserve(writing_);
    for (std::size_t i = 0; i < writing_; ++i) pieces.push_back(asio::buffer(*lines_[i]));
    asio::async_write(socket_, pieces,
                      [self = shared_from_this()](const asio::error_code& error, std::size_t size) {
                        self->written(error, size);
                      });
  }
  void written(const asio::error_code& error, std::size_t size) {
    if (error) return close();
    behind_ -= size;
    progress_ = Clock::now();
    lines_.erase(lines_.begin(), lines_.begin() + static_cast<std::ptrdiff_t>(writing_));
    writing_ = 0;
    if (!lines_.empty()) write();
  }
  void close() {
    asio::error_code ignored;
    // NOLINTNEXTLINE(bugprone-unused-return-value): the socket is closed even on error
    static_cast<void>(socket_.close(ignored));
  }

  stream_protocol::socket socket_;
  ucred peer_{};
  std::deque<std::shared_ptr<const std::string>> lines_;  // the first `writing_` are being written
  std::size_t writing_ = 0;
  std::size_t behind_ = 0;      // bytes in lines_
  Clock::time_point progress_;  // the last write
  std::array<char, 256> ignored_{};
};

EventStream::EventStream(const asio::any_io_executor& strand, FileDescriptor listening)
    : acceptor_(strand, stream_protocol(), listening.release()), pause_(strand) {
  acceptor_.non_blocking(true);
  wait();
}

EventStream::~EventStream() = default;

void EventStream::publish(const std::shared_ptr<const std::string>& line) {
  // A reader whose connect() has returned may not be accepted yet. wait() reports errors.
  static_cast<void>(accept_all());
  forget_closed();
  for (const auto& reader : readers_) reader->send(line);
}

bool EventStream::empty() const {
  return std::ranges::all_of(readers_, [](const auto& reader) { return reader->idle(); });
}

bool EventStream::congested() const {
  return std::ranges::any_of(readers_, [](const auto& reader) { return reader->congested(); });
}

void EventStream::abandon() {
  for (const auto& reader : readers_) {
    if (!reader->idle()) reader->cut("unread events at stop");
  }
}

void EventStream::wait() {
  acceptor_.async_wait(stream_protocol::acceptor::wait_read, [this](const asio::error_code& ended) {
    if (ended) return;
    const asio::error_code error = accept_all();
    if (!error) return wait();
    // Out of descriptors or memory: the next attempt would fail as fast.
    log_event(Level::error, "event-reader-failed", {{"reason", error.message()}});
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](const asio::error_code& stopped) {
      if (!stopped) wait();
    });
  });
}

asio::error_code EventStream::accept_all() {
  for (;;) {
    asio::error_code error;
    stream_protocol::socket socket(acceptor_.get_executor());
    // NOLINTNEXTLINE(bugprone-unused-return-value): it is `error`
    static_cast<void>(acceptor_.accept(socket, error));
    if (error == asio::error::would_block) return {};
    if (error) return error;
    serve(std::move(socket));
  }
}

void EventStream::serve(stream_protocol::socket socket) {
  forget_closed();
  const auto reader = std::make_shared<Reader>(std::move(socket));
  if (readers_.size() >= kMaxReaders) return reader->cut("16 readers are connected");
  readers_.push_back(reader);
  reader->discard_input();
}

void EventStream::forget_closed() {
  std::erase_if(readers_, [](const auto& reader) { return !reader->open(); });
}

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A notifier with its sockets in a folder of its own, and the proxies and readers it notifies.

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <asio/local/datagram_protocol.hpp>
#include <asio/local/stream_protocol.hpp>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/notify/notify.h"
#include "dataplane/base/file_descriptor.h"
#include "tests/temporary_directory.h"

namespace millrace {

class NotifyTest : public testing::Test {
 public:
  static constexpr std::chrono::seconds kMaxAge{1000};

 protected:
  [[nodiscard]] std::string path(std::string_view name) const { return directory_ / name; }

  void start(const std::vector<Notify>& config) {
    std::vector<FileDescriptor> sockets;
    for (const Notify& notify : config) {
      const bool stream = notify.type == NotifyType::events;
      sockets.emplace_back(::socket(AF_UNIX, stream ? SOCK_STREAM : SOCK_DGRAM, 0));
      const int fd = sockets.back().get();
      const asio::local::stream_protocol::endpoint own(notify.own.path);
      ASSERT_EQ(::bind(fd, own.data(), static_cast<socklen_t>(own.size())), 0);
      if (stream) {
        ASSERT_EQ(::listen(fd, 64), 0);
      }
    }
    notifier_ = std::make_unique<Notifier>(io_, config, std::move(sockets), kMaxAge);
  }
  // Moves time ahead: messages are sent again, old ones dropped.
  void advance(std::chrono::milliseconds later) {
    notifier_->tick(std::chrono::steady_clock::now() + (ahead_ += later));
    io_.restart();
    io_.poll();
  }
  [[nodiscard]] Notify proxy(NotifyType type) const {
    Notify notify;
    notify.type = type;
    notify.proxy = path("rpc");
    notify.own.path = path("replies");
    return notify;
  }
  [[nodiscard]] Notify events() const {
    Notify notify;
    notify.own.path = path("events");
    return notify;
  }

  template <typename Predicate>
  [[nodiscard]] bool run_until(Predicate done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(20));
    }
    return true;
  }
  // The next datagram at the proxy; its sender is in peer_.
  [[nodiscard]] std::string datagram(asio::local::datagram_protocol::socket& socket) {
    std::string text(65536, '\0');
    std::size_t size = 0;
    EXPECT_TRUE(run_until([&] {
      asio::error_code none;
      size = socket.receive_from(asio::buffer(text), peer_, 0, none);
      return !none;
    }));
    text.resize(size);
    return text;
  }
  [[nodiscard]] asio::local::datagram_protocol::socket proxy_socket() {
    ::unlink(path("rpc").c_str());
    asio::local::datagram_protocol::socket socket(
        io_, asio::local::datagram_protocol::endpoint(path("rpc")));
    socket.non_blocking(true);
    return socket;
  }
  void answer(asio::local::datagram_protocol::socket& socket, std::string_view rest) const {
    const std::string text =
        R"({"jsonrpc":"2.0","id":)" + std::to_string(id_) + "," + std::string(rest) + "}";
    EXPECT_EQ(socket.send_to(asio::buffer(text), peer_), text.size());
  }
  // The request's parameters; its id is kept for the answer.
  [[nodiscard]] nlohmann::json parameters(const std::string& text, std::string_view method) {
    const nlohmann::json request = nlohmann::json::parse(text);
    EXPECT_EQ(request["method"], method);
    id_ = request["id"];
    return request["params"];
  }

  // Reads from the event stream until `count` lines have arrived.
  [[nodiscard]] std::vector<nlohmann::json> lines(asio::local::stream_protocol::socket& socket,
                                                  std::size_t count) {
    socket.non_blocking(true);
    std::string text;
    std::size_t ended = 0;
    EXPECT_TRUE(run_until([&] {
      std::string piece(65536, '\0');
      asio::error_code none;
      piece.resize(socket.read_some(asio::buffer(piece), none));
      text += piece;
      ended += static_cast<std::size_t>(std::ranges::count(piece, '\n'));
      return ended >= count;
    }));
    std::vector<nlohmann::json> result;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
      result.push_back(nlohmann::json::parse(line));
    return result;
  }

  [[nodiscard]] static Event ended(std::string call, bool notify_proxy = true) {
    event::End end;
    end.reason = notify_proxy ? "media-timeout" : "deleted";
    end.notify_proxy = notify_proxy;
    end.dialogs = {{"A", "B"}};
    return {.time = {}, .call_id = std::move(call), .from_tag = "A", .to_tag = "B", .what = end};
  }
  [[nodiscard]] static Event started(std::string call) {
    return {.time = {},
            .call_id = std::move(call),
            .from_tag = "A",
            .to_tag = "",
            .what = event::Start{}};
  }
  [[nodiscard]] static Event ended_for(std::string socket, std::string tag) {
    Event event = ended("c");
    auto& end = std::get<event::End>(event.what);
    end.notify_socket = std::move(socket);
    end.notify_tag = std::move(tag);
    return event;
  }
  // Everything is delivered long before the flush would give up.
  [[nodiscard]] bool flushes() {
    bool flushed = false;
    notifier_->flush(std::chrono::steady_clock::now() + std::chrono::seconds(60),
                     [&] { flushed = true; });
    return run_until([&] { return flushed; });
  }

  TemporaryDirectory directory_;
  asio::io_context io_;
  std::unique_ptr<Notifier> notifier_;
  std::chrono::milliseconds ahead_{0};
  asio::local::datagram_protocol::endpoint peer_;
  std::uint64_t id_ = 0;
};

}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <asio/local/datagram_protocol.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read_until.hpp>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "control/notify/event_stream.h"
#include "control/notify/notify_peers.h"
#include "dataplane/base/file_descriptor.h"

namespace millrace {
namespace {

using asio::local::datagram_protocol;
using asio::local::stream_protocol;
using nlohmann::json;
using std::chrono::milliseconds;

class NotifyTest : public testing::Test {
 public:
  NotifyTest(const NotifyTest&) = delete;
  NotifyTest& operator=(const NotifyTest&) = delete;

 protected:
  NotifyTest() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
  }
  ~NotifyTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string path(std::string_view name) const { return directory_ / name; }

  void start(const std::vector<Notify>& config) {
    for (const Notify& notify : config) {
      const int type = notify.type == NotifyType::events ? SOCK_STREAM : SOCK_DGRAM;
      auto bound = Listener::bind(notify.own, type);
      ASSERT_TRUE(bound) << bound.error().message;
      sockets_.push_back(std::move(*bound));
    }
    auto started = Notifier::start(io_, config, sockets_);
    ASSERT_TRUE(started) << started.error().message;
    notifier_ = std::move(*started);
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
      io_.run_one_for(milliseconds(20));
    }
    return true;
  }
  // What the proxy's socket gets next, and who sent it.
  [[nodiscard]] std::string datagram(datagram_protocol::socket& socket) {
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
  [[nodiscard]] datagram_protocol::socket proxy_socket() {
    ::unlink(path("rpc").c_str());
    datagram_protocol::socket socket(io_, datagram_protocol::endpoint(path("rpc")));
    socket.non_blocking(true);
    return socket;
  }
  void answer(datagram_protocol::socket& socket, std::string_view rest) const {
    const std::string text =
        R"({"jsonrpc":"2.0","id":)" + std::to_string(id_) + "," + std::string(rest) + "}";
    EXPECT_EQ(socket.send_to(asio::buffer(text), peer_), text.size());
  }
  // The request's parameters; its id is kept for the answer.
  [[nodiscard]] json parameters(const std::string& text, std::string_view method) {
    const json request = json::parse(text);
    EXPECT_EQ(request["method"], method);
    id_ = request["id"];
    return request["params"];
  }

  // Everything that a reader of the stream gets until `count` lines are there.
  [[nodiscard]] std::vector<json> lines(stream_protocol::socket& socket, std::size_t count) {
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
    std::vector<json> result;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) result.push_back(json::parse(line));
    return result;
  }

  [[nodiscard]] static Event ended(std::string call, bool untold = true) {
    event::End end;
    end.reason = untold ? "media-timeout" : "deleted";
    end.untold = untold;
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
  // A flush comes to its end before its patience does.
  [[nodiscard]] bool flushes() {
    bool flushed = false;
    notifier_->flush(std::chrono::seconds(60), [&] { flushed = true; });
    return run_until([&] { return flushed; });
  }

  std::filesystem::path directory_;
  asio::io_context io_;
  std::vector<Listener> sockets_;
  std::unique_ptr<Notifier> notifier_;
  datagram_protocol::endpoint peer_;
  std::uint64_t id_ = 0;
};

TEST_F(NotifyTest, KamailioIsToldOneCallAfterTheOther) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  notifier_->tell(ended("one"));
  notifier_->tell(ended("two"));
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg"), json::array({"one", "A", "B"}));
  EXPECT_EQ(peer_.path(), path("replies"));
  const std::uint64_t first = id_;
  answer(kamailio, R"("result":{})");
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg"), json::array({"two", "A", "B"}));
  EXPECT_NE(id_, first);
  answer(kamailio, R"("error":{"code":404,"message":"Dialog not found"})");
  EXPECT_TRUE(flushes());
}

TEST_F(NotifyTest, EachAnsweredBranchIsADialogForKamailio) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  Event event = ended("one");
  std::get<event::End>(event.what).dialogs = {{"A", "B1"}, {"A", "B2"}};
  notifier_->tell(event);
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[2], "B1");
  answer(kamailio, R"("result":{})");
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[2], "B2");
}

TEST_F(NotifyTest, OpenSipsIsToldTheDialogIdOrElseTheCallId) {
  start({proxy(NotifyType::opensips)});
  auto opensips = proxy_socket();
  Event event = ended("one");
  notifier_->tell(event);
  EXPECT_EQ(parameters(datagram(opensips), "dlg_end_dlg"), json::array({"one"}));
  answer(opensips, R"("result":"OK")");
  std::get<event::End>(event.what).dialog_id = "4711";
  notifier_->tell(event);
  EXPECT_EQ(parameters(datagram(opensips), "dlg_end_dlg"), json::array({"4711"}));
}

TEST_F(NotifyTest, ACallThatNobodyAnsweredIsNoDialog) {
  start({proxy(NotifyType::opensips)});
  auto opensips = proxy_socket();
  Event event = ended("unanswered");
  std::get<event::End>(event.what).dialogs.clear();
  notifier_->tell(event);
  notifier_->tell(ended("answered"));
  EXPECT_EQ(parameters(datagram(opensips), "dlg_end_dlg"), json::array({"answered"}));
}

TEST_F(NotifyTest, WhatTheProxyDeletedIsNotToldBack) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  notifier_->tell(started("deleted"));
  notifier_->tell(ended("deleted", false));
  notifier_->tell(ended("died"));
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[0], "died");
}

TEST_F(NotifyTest, AnAbsentProxyIsTriedAgain) {
  start({proxy(NotifyType::kamailio)});
  notifier_->tell(ended("one"));
  io_.poll();  // refused: nobody has that socket
  auto kamailio = proxy_socket();
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[0], "one");
}

TEST_F(NotifyTest, AnAnswerToSomethingElseCountsForNothing) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  notifier_->tell(ended("one"));
  notifier_->tell(ended("two"));
  const auto first = parameters(datagram(kamailio), "dlg.terminate_dlg");
  const std::uint64_t asked = std::exchange(id_, id_ + 7);
  answer(kamailio, R"("result":{})");
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg"), first);  // once more
  EXPECT_EQ(id_, asked);
}

TEST_F(NotifyTest, FlushHasAnEnd) {
  start({proxy(NotifyType::kamailio)});
  notifier_->tell(ended("one"));
  bool flushed = false;
  notifier_->flush(milliseconds(1), [&] { flushed = true; });
  EXPECT_TRUE(run_until([&] { return flushed; }));
}

TEST_F(NotifyTest, RtpproxysListenerGetsTheTag) {
  start({});
  stream_protocol::acceptor listener(io_, stream_protocol::endpoint(path("tags")));
  for (const std::string& name : {"unix:" + path("tags"), path("tags")}) {
    notifier_->tell(ended_for(name, "T1.2"));
    std::string text;
    stream_protocol::socket socket(io_);
    bool accepted = false;
    listener.async_accept(socket, [&](const asio::error_code& error) { accepted = !error; });
    ASSERT_TRUE(run_until([&] { return accepted; }));
    EXPECT_TRUE(flushes());
    asio::error_code end;
    asio::read_until(socket, asio::dynamic_buffer(text), '\n', end);
    EXPECT_EQ(text, "T1.2\n");
    EXPECT_EQ(socket.read_some(asio::buffer(text), end), 0U);
    EXPECT_EQ(end, asio::error::eof);
  }
}

TEST_F(NotifyTest, SocketsThatNobodyIsToldAtAreForgotten) {
  start({});
  stream_protocol::acceptor listener(io_, stream_protocol::endpoint(path("tags")));
  std::size_t told = 0;
  // One listener by another name each time.
  const auto tell = [&](std::size_t name) {
    notifier_->tell(
        ended_for("unix:" + directory_.string() + std::string(name, '/') + "/tags", "T"));
    EXPECT_TRUE(flushes());
    asio::error_code none;
    listener.non_blocking(true);
    stream_protocol::socket socket(io_);
    for (; !listener.accept(socket, none); socket.close()) ++told;
  };
  for (std::size_t i = 0; i <= Notifier::kMaxTagPeers; ++i) tell(i);
  EXPECT_EQ(told, Notifier::kMaxTagPeers) << "the last one finds no room";
  notifier_->tick(std::chrono::steady_clock::now() + std::chrono::seconds(59));
  tell(Notifier::kMaxTagPeers);
  EXPECT_EQ(told, Notifier::kMaxTagPeers) << "nor before the others have been idle for long";
  notifier_->tick(std::chrono::steady_clock::now() + std::chrono::seconds(61));
  tell(Notifier::kMaxTagPeers);
  EXPECT_EQ(told, Notifier::kMaxTagPeers + 1);
}

TEST_F(NotifyTest, RtpproxysListenerOverTcpGetsTheTag) {
  start({});
  using asio::ip::tcp;
  tcp::acceptor listener(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto port = std::to_string(listener.local_endpoint().port());
  notifier_->tell(ended_for("tcp:127.0.0.1:" + port, "T7"));
  tcp::socket socket(io_);
  bool accepted = false;
  listener.async_accept(socket, [&](const asio::error_code& error) { accepted = !error; });
  ASSERT_TRUE(run_until([&] { return accepted; }));
  EXPECT_TRUE(flushes());
  std::string text;
  asio::read_until(socket, asio::dynamic_buffer(text), '\n');
  EXPECT_EQ(text, "T7\n");
}

TEST(TagPeer, ReadsSocketNames) {
  for (const char* good : {"tcp:192.0.2.1:9000", "tcp:[2001:db8::1]:9000", "tcp:2001:db8::1:9000",
                           "unix:/run/x", "/run/x"}) {
    EXPECT_TRUE(TagPeer::parse(good)) << good;
  }
  const std::string long_path = "/" + std::string(107, 'x');
  for (const std::string& bad :
       {std::string(""), std::string("tcp:"), std::string("tcp:1"), std::string("tcp:192.0.2.1"),
        std::string("tcp:192.0.2.1:0"), std::string("tcp:192.0.2.1:65536"),
        std::string("tcp:host.example:9000"), std::string("tcp:192.0.2.1:90x"),
        std::string("udp:192.0.2.1:9000"), std::string("unix:run/x"), std::string("run/x"),
        long_path}) {
    const auto parsed = TagPeer::parse(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_NE(parsed.error().message.find("write tcp:ADDRESS:PORT"), std::string::npos);
  }
}

TEST_F(NotifyTest, ReadersGetEveryLineInOrder) {
  start({events()});
  stream_protocol::socket one(io_), two(io_);
  one.connect(stream_protocol::endpoint(path("events")));
  two.connect(stream_protocol::endpoint(path("events")));
  io_.poll();  // both are taken
  notifier_->tell(started("c"));
  notifier_->tell(ended("c", false));
  for (auto* reader : {&one, &two}) {
    const auto read = lines(*reader, 2);
    ASSERT_EQ(read.size(), 2U);
    EXPECT_EQ(read[0]["event"], "start");
    EXPECT_EQ(read[1]["event"], "end");
    EXPECT_EQ(read[1]["call-id"], "c");
  }
  EXPECT_TRUE(flushes());
}

TEST_F(NotifyTest, AReaderThatDoesNotReadIsCutOffAndTheOtherGoesOn) {
  start({events()});
  stream_protocol::socket deaf(io_), good(io_);
  deaf.connect(stream_protocol::endpoint(path("events")));
  good.connect(stream_protocol::endpoint(path("events")));
  io_.poll();
  const std::string call(100'000, 'c');
  const std::size_t enough = EventStream::kMaxBehind / call.size() + 50;
  std::size_t got = 0;
  for (std::size_t i = 0; i < enough; ++i) {
    notifier_->tell(started(call));
    got += lines(good, 1).size();
  }
  EXPECT_EQ(got, enough);
  // What the kernel had for it, and then the end.
  std::size_t bytes = 0;
  asio::error_code end;
  std::string piece(1 << 20, '\0');
  while (!end) bytes += deaf.read_some(asio::buffer(piece), end);
  EXPECT_LT(bytes, enough * call.size());
}

TEST_F(NotifyTest, ReadersAreLimited) {
  start({events()});
  std::vector<stream_protocol::socket> readers;
  for (std::size_t i = 0; i <= EventStream::kMaxReaders; ++i) {
    readers.emplace_back(io_).connect(stream_protocol::endpoint(path("events")));
  }
  io_.poll();
  char byte = 0;
  asio::error_code end;
  readers.back().read_some(asio::buffer(&byte, 1), end);
  EXPECT_EQ(end, asio::error::eof);
  readers.pop_back();
  readers.pop_back();  // one leaves: there is room again
  io_.poll();
  readers.emplace_back(io_).connect(stream_protocol::endpoint(path("events")));
  io_.poll();
  notifier_->tell(started("c"));
  EXPECT_EQ(lines(readers.back(), 1).size(), 1U);
}

TEST_F(NotifyTest, TooManyEventsAtOnceAreLostNotQueued) {
  start({events()});
  stream_protocol::socket reader(io_);
  reader.connect(stream_protocol::endpoint(path("events")));
  io_.poll();
  for (std::uint32_t i = 0; i < Notifier::kMaxPending + 5; ++i) notifier_->tell(started("c"));
  io_.poll();
  notifier_->tell(started("last"));
  const auto read = lines(reader, Notifier::kMaxPending + 1);
  EXPECT_EQ(read.size(), Notifier::kMaxPending + 1);
  EXPECT_EQ(read.back()["call-id"], "last");
}

}  // namespace
}  // namespace millrace

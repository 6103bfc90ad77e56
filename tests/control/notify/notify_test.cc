// SPDX-License-Identifier: BSD-3-Clause
#include "control/notify/notify.h"

#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>

#include "control/notify/notify_peers.h"
#include "control/notify/outbox.h"
#include "tests/control/notify/notify_fixture.h"

namespace millrace {
namespace {

using asio::local::stream_protocol;
using nlohmann::json;
using std::chrono::milliseconds;

TEST_F(NotifyTest, KamailioGetsOneRequestForEachCall) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  notifier_->publish(ended("one"));
  notifier_->publish(ended("two"));
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg"), json::array({"one", "A", "B"}));
  EXPECT_EQ(peer_.path(), path("replies"));
  const std::uint64_t first = id_;
  answer(kamailio, R"("result":{})");
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg"), json::array({"two", "A", "B"}));
  EXPECT_NE(id_, first);
  answer(kamailio, R"("error":{"code":404,"message":"Dialog not found"})");
  EXPECT_TRUE(flushes());
}

TEST_F(NotifyTest, SeveralRequestsAreInFlightAtOnce) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  for (int call = 0; call < 20; ++call) notifier_->publish(ended(std::to_string(call)));
  std::vector<std::uint64_t> ids;
  for (std::size_t i = 0; i < Outbox::kInFlight; ++i) {
    EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[0], std::to_string(i));
    ids.push_back(id_);
  }
  asio::error_code none;
  char byte = 0;
  io_.poll();
  kamailio.receive(asio::buffer(&byte, 1), 0, none);
  EXPECT_EQ(none, asio::error::would_block) << "the next one waits for an answer";
  id_ = ids[5];  // answers may come in any order
  answer(kamailio, R"("result":{})");
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[0],
            std::to_string(Outbox::kInFlight));
}

TEST_F(NotifyTest, TenThousandCallsThatEndTogetherAreAllNotified) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  constexpr std::size_t kCalls = 10'000;
  for (std::size_t call = 0; call < kCalls; ++call) {
    notifier_->publish(ended(std::to_string(call)));
  }
  std::set<std::string> notified;
  while (notified.size() < kCalls && !HasFailure()) {
    notified.insert(parameters(datagram(kamailio), "dlg.terminate_dlg")[0]);
    answer(kamailio, R"("result":{})");
  }
  EXPECT_TRUE(flushes());
}

TEST_F(NotifyTest, EachAnsweredBranchIsADialogForKamailio) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  Event event = ended("one");
  std::get<event::End>(event.what).dialogs = {{"A", "B1"}, {"A", "B2"}};
  notifier_->publish(event);
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[2], "B1");
  answer(kamailio, R"("result":{})");
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[2], "B2");
}

TEST_F(NotifyTest, OpenSipsGetsTheDialogIdElseTheCallId) {
  start({proxy(NotifyType::opensips)});
  auto opensips = proxy_socket();
  Event event = ended("one");
  notifier_->publish(event);
  EXPECT_EQ(parameters(datagram(opensips), "dlg_end_dlg"), json::array({"one"}));
  answer(opensips, R"("result":"OK")");
  std::get<event::End>(event.what).dialog_id = "4711";
  notifier_->publish(event);
  EXPECT_EQ(parameters(datagram(opensips), "dlg_end_dlg"), json::array({"4711"}));
}

TEST_F(NotifyTest, UnansweredCallIsNotNotified) {
  start({proxy(NotifyType::opensips)});
  auto opensips = proxy_socket();
  Event event = ended("unanswered");
  std::get<event::End>(event.what).dialogs.clear();
  notifier_->publish(event);
  notifier_->publish(ended("answered"));
  EXPECT_EQ(parameters(datagram(opensips), "dlg_end_dlg"), json::array({"answered"}));
}

TEST_F(NotifyTest, DeletedCallsAreNotNotified) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  notifier_->publish(started("deleted"));
  notifier_->publish(ended("deleted", false));
  notifier_->publish(ended("died"));
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[0], "died");
}

TEST_F(NotifyTest, AbsentProxyIsRetried) {
  start({proxy(NotifyType::kamailio)});
  notifier_->publish(ended("one"));
  io_.poll();  // refused: the socket does not exist
  auto kamailio = proxy_socket();
  advance(std::chrono::seconds(1));
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg")[0], "one");
}

TEST_F(NotifyTest, AnswerWithAnUnknownIdIsIgnored) {
  start({proxy(NotifyType::kamailio)});
  auto kamailio = proxy_socket();
  notifier_->publish(ended("one"));
  const auto first = parameters(datagram(kamailio), "dlg.terminate_dlg");
  const std::uint64_t asked = std::exchange(id_, id_ + 7);
  answer(kamailio, R"("result":{})");
  advance(std::chrono::seconds(1));
  EXPECT_EQ(parameters(datagram(kamailio), "dlg.terminate_dlg"), first);  // once more
  EXPECT_EQ(id_, asked);
}

TEST_F(NotifyTest, FlushEndsAtItsDeadline) {
  start({proxy(NotifyType::kamailio)});
  notifier_->publish(ended("one"));
  bool flushed = false;
  notifier_->flush(std::chrono::steady_clock::now() + milliseconds(1), [&] { flushed = true; });
  EXPECT_TRUE(run_until([&] { return flushed; }));
  EXPECT_TRUE(flushes()) << "the rest is dropped";
}

TEST_F(NotifyTest, DeadProxyLeavesRoomForEvents) {
  start({proxy(NotifyType::kamailio)});
  for (int call = 0; call < 2000; ++call) notifier_->publish(ended(std::string(10'000, 'c')));
  bool room = false;
  notifier_->wait_for_room(std::chrono::steady_clock::now() + std::chrono::hours(1),
                           [&] { room = true; });
  EXPECT_TRUE(run_until([&] { return room; }));
}

TEST_F(NotifyTest, RtpproxyListenerGetsTheTag) {
  start({});
  stream_protocol::acceptor listener(io_, stream_protocol::endpoint(path("tags")));
  for (const std::string& name : {"unix:" + path("tags"), path("tags")}) {
    notifier_->publish(ended_for(name, "T1.2"));
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

TEST_F(NotifyTest, NotificationSocketsInUseAreBounded) {
  start({});
  for (std::size_t i = 0; i < Notifier::kMaxTagPeers; ++i) {
    notifier_->publish(ended_for(path("absent" + std::to_string(i)), "T"));
  }
  stream_protocol::acceptor listener(io_, stream_protocol::endpoint(path("tags")));
  listener.non_blocking(true);
  stream_protocol::socket socket(io_);
  asio::error_code none;
  notifier_->publish(ended_for(path("tags"), "T"));
  io_.poll();
  listener.accept(socket, none);
  EXPECT_EQ(none, asio::error::would_block) << "the last one finds no room";
  advance(kMaxAge + std::chrono::seconds(1));  // the others are given up and forgotten
  notifier_->publish(ended_for(path("tags"), "T"));
  EXPECT_TRUE(run_until([&] { return !listener.accept(socket, none); }));
}

// The kernel drops SYNs to a listener whose accept queue is full: connect() takes minutes.
TEST_F(NotifyTest, SocketThatDropsSynsIsRemoved) {
  start({});
  using asio::ip::tcp;
  tcp::acceptor listener(io_, tcp::v4());
  listener.bind(tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  listener.listen(0);
  std::vector<tcp::socket> queued;
  for (int i = 0; i < 4; ++i) {
    queued.emplace_back(io_, tcp::v4()).non_blocking(true);
    const auto to = listener.local_endpoint();  // the last ones stay in progress
    std::ignore =
        ::connect(queued.back().native_handle(), to.data(), static_cast<socklen_t>(to.size()));
  }
  const std::string name = "tcp:127.0.0.1:" + std::to_string(listener.local_endpoint().port());
  for (std::size_t i = 0; i < Outbox::kInFlight + 2; ++i) {
    notifier_->publish(ended_for(name, "T"));
  }
  io_.poll();
  advance(std::chrono::seconds(1));            // second attempts; the first ones are cancelled
  advance(kMaxAge + std::chrono::seconds(1));  // given up and forgotten, attempts still out
  io_.poll();                                  // their handlers run
  EXPECT_TRUE(flushes());
}

TEST_F(NotifyTest, RtpproxyListenerOverTcpGetsTheTag) {
  start({});
  using asio::ip::tcp;
  tcp::acceptor listener(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto port = std::to_string(listener.local_endpoint().port());
  notifier_->publish(ended_for("tcp:127.0.0.1:" + port, "T7"));
  tcp::socket socket(io_);
  bool accepted = false;
  listener.async_accept(socket, [&](const asio::error_code& error) { accepted = !error; });
  ASSERT_TRUE(run_until([&] { return accepted; }));
  EXPECT_TRUE(flushes());
  std::string text;
  asio::read_until(socket, asio::dynamic_buffer(text), '\n');
  EXPECT_EQ(text, "T7\n");
}

TEST(TagPeer, ParsesSocketNames) {
  for (const char* good : {"tcp:192.0.2.1:9000", "tcp:[2001:db8::1]:9000", "tcp:2001:db8::1:9000",
                           "unix:/run/x", "/run/x"}) {
    EXPECT_TRUE(TagPeer::parse(good)) << good;
  }
  const std::string long_path = "/" + std::string(107, 'x');
  for (const std::string& bad :
       {std::string(""), std::string("tcp:"), std::string("tcp:1"), std::string("tcp:192.0.2.1"),
        std::string("tcp:192.0.2.1:0"), std::string("tcp:192.0.2.1:65536"),
        std::string("tcp:host.example:9000"), std::string("tcp:192.0.2.1:90x"),
        std::string("tcp:224.1.1.1:9000"), std::string("tcp:0.0.0.0:9000"),
        std::string("udp:192.0.2.1:9000"), std::string("unix:run/x"), std::string("run/x"),
        long_path}) {
    const auto parsed = TagPeer::parse(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_NE(parsed.error().message.find("write tcp:ADDRESS:PORT"), std::string::npos);
  }
}

}  // namespace
}  // namespace millrace

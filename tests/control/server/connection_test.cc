// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/connection.h"

#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "control/process.h"
#include "control/protocol/ng/ng.h"
#include "control/server/codecs.h"
#include "dataplane/base/file_descriptor.h"

namespace millrace {
namespace {

constexpr std::string_view kPing = "d7:command4:pinge";
constexpr std::string_view kPong = "d6:result4:ponge";
// Looks like a request, but is part of another request's value: never answered.
constexpr std::string_view kHidden = "d7:command5:dancee";
constexpr std::size_t kChunk = 65'536;  // bytes of one recv()

// A ping of `size` bytes. Wherever a recv() may end in it, the next one starts with kHidden.
std::string long_ping(std::size_t size, std::string_view cookie = "") {
  const std::string head = (cookie.empty() ? "" : std::string(cookie) + " ") + "d3:pad";
  const std::string tail = "7:command4:pinge";
  std::size_t pad = size - head.size() - tail.size() - 1;
  pad -= std::to_string(pad).size();
  std::string text = head + std::to_string(pad) + ":" + std::string(pad, 'x') + tail;
  EXPECT_EQ(text.size(), size);
  for (std::size_t at = kChunk; at + kHidden.size() + tail.size() <= size; at += kChunk) {
    text.replace(at, kHidden.size(), kHidden);
  }
  return text;
}

// The client's end of a connection that this thread serves.
class Client {
 public:
  Client(Connections& connections, const Codec& codec, const ServeContext& context) {
    static std::uint64_t id = 1;
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    socket_ = FileDescriptor(ends[0]);
    connection_ =
        std::make_shared<Connection>(id++, FileDescriptor(ends[1]), codec, context, connections);
    EXPECT_EQ(connections.add(connection_), "");
  }
  // Sends `bytes` in as many pieces as the socket needs; returns the server's reply.
  std::string send(std::string_view bytes) {
    std::string replies;
    while (!bytes.empty() && !closed()) {
      bytes.remove_prefix(put(bytes));
      replies += serve();
    }
    return replies;
  }
  // Sends `bytes` and reads nothing; returns whether the server now waits for writability.
  bool send_only(std::string_view bytes) {
    EXPECT_EQ(put(bytes), bytes.size());
    return post(Connection::kInput);
  }
  // At most `size` bytes of the server's reply.
  std::string receive(std::size_t size) {
    std::string bytes(size, ' ');
    const ssize_t n = ::recv(socket_.get(), bytes.data(), size, MSG_DONTWAIT);
    bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return bytes;
  }
  // Serves and receives until nothing is left.
  std::string serve(std::uint32_t events = Connection::kInput) {
    std::string replies;
    for (;;) {
      post(events);
      const std::string more = receive(kChunk);
      if (more.empty()) return replies;
      replies += more;
    }
  }
  // The client ends.
  std::string end() {
    ::shutdown(socket_.get(), SHUT_WR);
    return serve(Connection::kInput | Connection::kHangup);
  }
  void die() {
    socket_.reset();
    post(Connection::kInput | Connection::kHangup);
    EXPECT_TRUE(closed());
  }
  // Runs all turns; returns whether the server now waits for writability.
  bool post(std::uint32_t events) {
    bool room = false;
    for (bool again = true; again;) {
      const Connection::Next next = connection_->post(events);
      again = next.turn;
      room |= next.room;
    }
    return room;
  }
  // The number of bytes that the socket buffers.
  [[nodiscard]] std::size_t put(std::string_view bytes) const {
    const ssize_t n =
        ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }
  [[nodiscard]] bool closed() const { return connection_->closed(); }
  [[nodiscard]] const Connection& connection() const { return *connection_; }

 private:
  FileDescriptor socket_;
  std::shared_ptr<Connection> connection_;
};

class ConnectionTest : public testing::Test {
 public:
  static constexpr std::size_t kLong = 3'000'000;  // bytes, past what any socket holds here

 protected:
  [[nodiscard]] Client connect(ControlProtocol protocol = ControlProtocol::ng) {
    return {connections, codec_of(protocol), {.handle = handle, .config = config}};
  }

  std::size_t served = 0;
  const Handler handle = [this](const Request& request) -> Reply {
    ++served;
    if (request.command == Command::statistics) return reply::Statistics();
    if (request.command != Command::list) return reply::Pong();
    return reply::List{{std::string(kLong, 'x')}};
  };
  const Config config;
  Connections connections;
};

// The sizes around those of one and two receives, up to the limit.
std::vector<std::size_t> sizes() {
  std::vector<std::size_t> all;
  for (std::size_t size = kChunk - 40; size <= kChunk + 40; ++size) all.push_back(size);
  for (std::size_t size = ng::kMaxMessage - 40; size <= ng::kMaxMessage; ++size) {
    all.push_back(size);
  }
  return all;
}

TEST_F(ConnectionTest, AnswersRequestsOfEverySizeUpToTheLimit) {
  Client client = connect();
  for (const std::size_t size : sizes()) EXPECT_EQ(client.send(long_ping(size)), kPong) << size;
}

TEST_F(ConnectionTest, AnswersRequestsOfEverySizeInPieces) {
  Client client = connect();
  for (const std::size_t size : sizes()) {
    const std::string request = long_ping(size);
    for (const std::size_t piece : {std::size_t{1'000}, std::size_t{32'768}, kChunk - 1, kChunk}) {
      std::string replies;
      for (std::size_t at = 0; at < size; at += piece) {
        replies += client.send(std::string_view(request).substr(at, piece));
      }
      EXPECT_EQ(replies, kPong) << size << " by " << piece;
    }
  }
}

TEST_F(ConnectionTest, AnswersARequestSplitAnywhere) {
  Client client = connect();
  const auto expect_pong = [&](std::string_view request, std::size_t cut) {
    EXPECT_EQ(client.send(request.substr(0, cut)), "") << request.size() << " at " << cut;
    EXPECT_EQ(client.send(request.substr(cut)), kPong) << request.size() << " at " << cut;
  };
  for (std::size_t cut = 1; cut < kPing.size(); ++cut) expect_pong(kPing, cut);
  for (const std::size_t size : {kChunk + 30, ng::kMaxMessage}) {
    const std::string request = long_ping(size);
    for (std::size_t cut = 1; cut < size; cut += cut < 200 || cut + 200 > size ? 1 : 61) {
      expect_pong(request, cut);
    }
    for (std::size_t cut = kChunk - 40; cut < std::min(kChunk + 40, size); ++cut) {
      expect_pong(request, cut);
    }
  }
}

// Each request ends at another offset of a receive.
TEST_F(ConnectionTest, AnswersPipelinedRequestsOfAllSizes) {
  Client client = connect();
  std::mt19937 random(12);
  std::string requests, replies;
  for (int i = 0; i < 3000; ++i) {
    const std::string cookie = "c" + std::to_string(i);
    const std::size_t long_size = 50 + random() % (ng::kMaxMessage - 50);
    requests += i % 50 == 0 ? long_ping(long_size, cookie) : cookie + " " + std::string(kPing);
    replies += cookie + " " + std::string(kPong);
  }
  EXPECT_TRUE(client.send(requests) == replies);
  // The same in pieces of any size.
  std::string again;
  for (std::string_view rest = requests; !rest.empty();) {
    const std::size_t piece = std::min<std::size_t>(rest.size(), 1 + random() % (3 * kChunk));
    again += client.send(rest.substr(0, piece));
    rest.remove_prefix(piece);
  }
  EXPECT_TRUE(again == replies);
}

TEST_F(ConnectionTest, RefusesARequestPastTheLimit) {
  Client client = connect();
  EXPECT_TRUE(client.send(long_ping(ng::kMaxMessage + 1)).starts_with("d6:result5:error"));
  EXPECT_TRUE(client.closed());
}

TEST_F(ConnectionTest, DropsAHalfClosedRequest) {
  for (const std::size_t size : {kPing.size(), std::size_t{1'000}, kChunk + 30, ng::kMaxMessage}) {
    const std::string request = size == kPing.size() ? std::string(kPing) : long_ping(size);
    for (std::size_t cut = 1; cut < size; cut += 1 + size / 100) {
      Client client = connect();
      EXPECT_EQ(client.send(request.substr(0, cut)) + client.end(), "") << size << " at " << cut;
      EXPECT_TRUE(client.closed());
    }
  }
  EXPECT_EQ(connections.count(), 0U);
}

// A process's unfinished requests end with its connections, even with its only one.
TEST_F(ConnectionTest, DeadClientsReturnTheirUnfinishedRequests) {
  const std::string request = long_ping(1'000);
  for (std::size_t i = 0; i < 3 * Connections::kMaxUnfinished; ++i) {
    {
      Client dying = connect();
      EXPECT_EQ(dying.send(request.substr(0, 1 + i)), "");
      dying.die();
    }
    Client client = connect();
    EXPECT_EQ(client.send(request.substr(0, 500)), "");
    EXPECT_EQ(client.send(request.substr(500)), kPong) << i;
    client.die();
  }
  EXPECT_EQ(connections.disconnected, 0U);
  // The limit is unchanged.
  std::vector<Client> clients;
  for (std::size_t i = 0; i <= Connections::kMaxUnfinished; ++i) {
    clients.push_back(connect());
    EXPECT_EQ(clients.back().send(request.substr(0, 500)), "");
    EXPECT_EQ(clients.back().closed(), i == Connections::kMaxUnfinished) << i;
  }
  // One that ends makes room for another one.
  clients.front().die();
  EXPECT_EQ(connect().send(request.substr(0, 500)), "");
  EXPECT_EQ(connections.disconnected, 1U);
}

// The reply to `list` in ng, a call-id of kLong bytes.
const std::string kLongReply = [] {
  const std::string id(ConnectionTest::kLong, 'x');
  return "d6:result2:ok5:callsl" + std::to_string(id.size()) + ":" + id + "ee";
}();
constexpr std::string_view kList = "d7:command4:liste";

TEST_F(ConnectionTest, DeliversAReplyLongerThanTheSocketBuffer) {
  Client client = connect();
  for (const std::size_t piece : {std::size_t{1'000}, std::size_t{100'000}, kLong}) {
    client.send_only(std::string(kList) + std::string(kPing));
    std::string replies;
    while (replies.size() < kLongReply.size() + kPong.size()) {
      const std::string more = client.receive(piece);
      ASSERT_FALSE(more.empty()) << replies.size();
      replies += more;
      client.post(Connection::kInput);
    }
    EXPECT_TRUE(replies == kLongReply + std::string(kPong)) << piece;
  }
  EXPECT_EQ(connections.disconnected, 0U);
}

TEST_F(ConnectionTest, ArmsTheOutputEventOncePerBlockedReply) {
  Client client = connect();
  EXPECT_EQ(client.send(kPing), kPong);
  EXPECT_FALSE(client.connection().has_blocked());
  for (const bool first : {true, false}) {
    EXPECT_EQ(client.send_only(kList), first);
    EXPECT_FALSE(client.post(Connection::kInput)) << "else each call would cause the next one";
    EXPECT_TRUE(client.serve() == kLongReply);
  }
  EXPECT_TRUE(client.connection().has_blocked());
}

// The server reads nothing while a reply waits: further requests stay in the client's socket.
TEST_F(ConnectionTest, ServesNothingBehindAnUnreadReply) {
  Client client = connect();
  client.send_only(kList);
  std::size_t sent = 0;
  for (const std::string ping = long_ping(32'000); client.put(ping) == ping.size(); ++sent) {
    client.post(Connection::kInput);
    ASSERT_LT(sent, 1000U);
  }
  EXPECT_EQ(served, 1U);
}

TEST_F(ConnectionTest, UnreadReplyIsOverdue) {
  Client client = connect();
  EXPECT_EQ(client.send(kPing), kPong);
  client.send_only(kList);
  const auto now = Connection::Clock::now();
  EXPECT_FALSE(client.connection().is_overdue(now));
  EXPECT_TRUE(client.connection().is_overdue(now + Connection::kRequestTime));
  EXPECT_TRUE(client.serve() == kLongReply);
  EXPECT_FALSE(client.connection().is_overdue(now + Connection::kRequestTime)) << "it was read";
  client.send_only(kList);
  client.post(Connection::kOverdue);
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(connections.disconnected, 1U);
}

TEST_F(ConnectionTest, UnreadRepliesPerProcessAreLimited) {
  std::list<Client> clients;
  for (std::size_t i = 0; i <= Connections::kMaxUnfinished; ++i) {
    clients.push_back(connect());
    clients.back().send_only(kList);
    EXPECT_EQ(clients.back().closed(), i == Connections::kMaxUnfinished) << i;
  }
  EXPECT_TRUE(clients.front().serve() == kLongReply);
  clients.push_back(connect());
  clients.back().send_only(kList);
  EXPECT_FALSE(clients.back().closed());
  for (Client& client : clients) client.die();
  EXPECT_EQ(connections.count(), 0U);
}

// Runs `test` in a process of a PID namespace of its own. Empty: it returned true.
template <typename Test>
std::string in_pid_namespace(Test&& test) {
  enum Status { kPassed, kFailed, kNoNamespace };
  const auto wait_for = [](pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : static_cast<int>(kFailed);
  };
  const pid_t outer = ::fork();
  if (outer == 0) {
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(kNoNamespace);
    const pid_t inner = ::fork();
    if (inner == 0) ::_exit(test() ? kPassed : kFailed);
    ::_exit(wait_for(inner));
  }
  const int status = wait_for(outer);
  return status == kPassed ? "" : status == kFailed ? "failed" : "no namespace";
}

// A relay in a container does not see its clients' process ids.
TEST_F(ConnectionTest, ClientsOfOtherPidNamespacesShareOneLimit) {
  std::vector<FileDescriptor> clients, sockets;
  raise_descriptor_limit();
  for (std::size_t i = 0; i <= Connections::kMaxPerProcess; ++i) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      GTEST_SKIP() << "too few descriptors allowed here";
    }
    sockets.emplace_back(ends[0]);
    const bool asks = i <= Connections::kMaxUnfinished;
    if (asks) {
      ASSERT_EQ(::send(ends[1], kPing.data(), 5, 0), 5);
    }
    clients.emplace_back(asks ? ends[1] : (::close(ends[1]), -1));
  }
  const std::string failed = in_pid_namespace([&] {
    std::vector<std::shared_ptr<Connection>> all;
    for (FileDescriptor& socket : sockets) {
      all.push_back(std::make_shared<Connection>(
          all.size() + 1, std::move(socket), codec_of(ControlProtocol::ng),
          ServeContext{.handle = handle, .config = config}, connections));
      if (all.back()->client().process.pid != 0) return false;
      const bool refused = !connections.add(all.back()).empty();
      if (refused != (all.size() > Connections::kMaxPerProcess)) return false;
    }
    for (std::size_t i = 0; i <= Connections::kMaxUnfinished; ++i) {
      static_cast<void>(all[i]->post(Connection::kInput));
      if (all[i]->closed() != (i == Connections::kMaxUnfinished)) return false;
    }
    return true;
  });
  if (failed == "no namespace") GTEST_SKIP() << "a PID namespace takes root";
  EXPECT_EQ(failed, "");
}

// Of what rtpproxy's modules send without newline.
TEST_F(ConnectionTest, ClosesAfterALongReplyIsRead) {
  Client client = connect(ControlProtocol::rtpp);
  client.send_only("I");
  EXPECT_FALSE(client.closed());
  const std::string reply = client.serve();
  EXPECT_GT(reply.size(), kLong);
  EXPECT_TRUE(reply.ends_with("x\n"));
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(connections.disconnected, 0U);
}

}  // namespace
}  // namespace millrace

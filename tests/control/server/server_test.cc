// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/server.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <list>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "control/call/calls.h"
#include "control/process.h"
#include "control/server/connection.h"
#include "dataplane/base/socket_address.h"
#include "tests/socket_io.h"
#include "tests/temporary_directory.h"

namespace millrace {
namespace {

constexpr std::string_view kPing = "d7:command4:pinge";
constexpr std::string_view kPong = "d6:result4:ponge";
constexpr std::string_view kUnknown = "d7:command5:dancee";
constexpr std::string_view kUnknownReply =
    "d6:result5:error12:error-reason20:Unrecognized commande";

std::string bencode(std::string_view text) {
  return std::to_string(text.size()) + ":" + std::string(text);
}

// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): the SDP lines are optional
std::string offer(std::string_view call_id, std::string_view more_sdp = "") {
  const std::string sdp =
      "v=0\r\no=- 1 1 IN IP4 198.18.0.9\r\ns=-\r\nc=IN IP4 198.18.0.9\r\nt=0 0\r\n"
      "m=audio 4000 RTP/AVP 0\r\n" +
      std::string(more_sdp);
  return "d3:sdp" + bencode(sdp) + "7:call-id" + bencode(call_id) +
         "8:from-tag1:a7:command5:offere";
}

class ServerTest : public testing::Test {
 public:
  ServerTest(const ServerTest&) = delete;
  ServerTest& operator=(const ServerTest&) = delete;

 protected:
  // EAL starts once a process.
  static void SetUpTestSuite() {
    auto config = parse_config(R"(
[dataplane]
worker_cores = [1]
memory_mb = 128
mbufs = 4096
idle_sleep_us = 1000
[[interface]]
name = "a"
device = "net_null0"
addresses = ["198.18.0.5/24"]
[[control]]
path = "/unused"
)",
                               "server_test");
    ASSERT_TRUE(config) << config.error().text();
    shared_config = std::make_unique<Config>(std::move(*config));
    auto dataplane = Dataplane::start(shared_config->dataplane);
    ASSERT_TRUE(dataplane) << dataplane.error().message;
    shared_dataplane = std::move(*dataplane);
    raise_descriptor_limit();
  }
  static void TearDownTestSuite() { shared_dataplane.reset(); }

  ServerTest() : calls_(*shared_config, *shared_dataplane) {
    ControlSocket unix_socket;
    unix_socket.path = directory_ / "ng.sock";
    ControlSocket udp_socket;
    udp_socket.udp = Endpoint{IpAddress::v4(127, 0, 0, 1), UdpPort(0)};  // the kernel's choice
    ControlSocket peers_socket;
    peers_socket.path = directory_ / "peers.sock";
    peers_socket.mode = 0666;
    peers_socket.peers = {"12345"};
    using std::filesystem::perms;
    std::filesystem::permissions(directory_.path(), perms::group_exec | perms::others_exec,
                                 std::filesystem::perm_options::add);
    for (const ControlSocket& socket : {unix_socket, udp_socket, peers_socket}) {
      auto listener = Listener::bind(socket);
      if (listener) listeners_.push_back(std::move(*listener));
    }
    server_ = std::make_unique<Server>(listeners_, *shared_config, [this](const Request& request) {
      return calls_.handle(request, Calls::Clock::now());
    });
    EXPECT_TRUE(server_->start());
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { server_->run(); });
  }
  ~ServerTest() override {
    server_->stop();
    threads_.clear();
    server_.reset();
    listeners_.clear();
  }
  [[nodiscard]] sockaddr_un address(const char* socket = "ng.sock") const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = directory_ / socket;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    return address;
  }
  [[nodiscard]] FileDescriptor connect() const {
    FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) throw std::system_error(errno, std::generic_category(), "socket");
    const sockaddr_un address = this->address();
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    // A receive without a reply fails instead of blocking.
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  [[nodiscard]] FileDescriptor connect_udp() const {
    SocketAddress address;
    ::getsockname(listeners_.at(1).fd(), address.get(), &address.size);
    FileDescriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) throw std::system_error(errno, std::generic_category(), "socket");
    EXPECT_EQ(::connect(fd.get(), address.get(), address.size), 0);
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  // Another process that holds `count` connections, each of which has had its pong.
  class OtherProcess {
   public:
    OtherProcess(const ServerTest& test, std::size_t count, const char* socket = "ng.sock",
                 uid_t user = ::geteuid()) {
      const sockaddr_un address = test.address(socket);
      std::array<int, 2> notice{};
      if (::pipe2(notice.data(), O_CLOEXEC) != 0) return;
      process_ = ::fork();
      if (process_ == 0) {  // system calls only: the parent has threads
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        std::size_t connected = 0;
        if (user != ::geteuid() && ::setresuid(user, user, user) != 0) ::_exit(1);
        for (std::size_t i = 0; i < count; ++i) {
          const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
          char byte = 0;
          if (fd >= 0 &&
              ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
              ::send(fd, kPing.data(), kPing.size(), MSG_NOSIGNAL) > 0 &&
              ::recv(fd, &byte, 1, 0) == 1) {
            ++connected;
          }
        }
        static_cast<void>(::write(notice[1], &connected, sizeof connected));
        for (;;) ::pause();
      }
      ::close(notice[1]);
      const FileDescriptor reader(notice[0]);
      if (::read(reader.get(), &connected_, sizeof connected_) < 0) connected_ = 0;
    }
    ~OtherProcess() {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    OtherProcess(const OtherProcess&) = delete;
    OtherProcess& operator=(const OtherProcess&) = delete;
    [[nodiscard]] std::size_t connected() const { return connected_; }

   private:
    pid_t process_ = -1;
    std::size_t connected_ = 0;
  };

  void expect_pong(int fd) const {
    send_all(fd, kPing);
    EXPECT_EQ(receive_once(fd), kPong);
  }
  [[nodiscard]] std::uint64_t offers() const {
    return calls_.statistics(Calls::Clock::now()).offers;
  }

  static inline std::unique_ptr<Config> shared_config;
  static inline std::unique_ptr<Dataplane> shared_dataplane;
  TemporaryDirectory directory_;
  Calls calls_;
  std::vector<Listener> listeners_;
  std::unique_ptr<Server> server_;
  std::vector<std::jthread> threads_;
};

TEST_F(ServerTest, AnswersPingInOneRead) { expect_pong(connect().get()); }

TEST_F(ServerTest, AnswersManyRequestsOnOneConnection) {
  const auto client = connect();
  for (int i = 0; i < 100; ++i) expect_pong(client.get());
}

TEST_F(ServerTest, AcceptsARequestByteByByte) {
  const auto client = connect();
  const std::string request = offer("bytes");
  for (const char byte : request) send_all(client.get(), std::string_view(&byte, 1));
  EXPECT_TRUE(receive_once(client.get()).starts_with("d6:result2:ok3:sdp"));
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  const auto client = connect();
  std::string requests;
  std::string replies;
  for (int i = 0; i < 50; ++i) {
    requests +=
        std::string(kPing) + "\n" + "cookie" + std::to_string(i) + " " + std::string(kUnknown);
    replies += std::string(kPong) + "cookie" + std::to_string(i) + " " + std::string(kUnknownReply);
  }
  send_all(client.get(), requests);
  EXPECT_EQ(receive_exactly(client.get(), replies.size()), replies);
}

TEST_F(ServerTest, RelaysALongSdpUnchanged) {
  std::string more;
  while (more.size() < 60'000) more += "a=x-note:" + std::string(100, 'x') + "\r\n";
  const auto client = connect();
  send_all(client.get(), offer("long", more));
  // The first read may hold a part only because the kernel hands over 32 KiB at a time.
  std::string reply = receive_once(client.get());
  while (reply.size() < 60'000) {
    const std::string part = receive_once(client.get());
    ASSERT_FALSE(part.empty());
    reply += part;
  }
  EXPECT_TRUE(reply.starts_with("d6:result2:ok3:sdp"));
  EXPECT_NE(reply.find(more), std::string::npos);
  expect_pong(client.get());
}

TEST_F(ServerTest, StaysConnectedAfterAnUnsupportedRequest) {
  const auto client = connect();
  send_all(client.get(), kUnknown);
  EXPECT_EQ(receive_once(client.get()), kUnknownReply);
  send_all(client.get(), "abc d3:foo3:bare");
  EXPECT_EQ(receive_once(client.get()),
            "abc d6:result5:error12:error-reason36:Dictionary contains no key \"command\"e");
  expect_pong(client.get());
}

TEST_F(ServerTest, AnswersAnUndelimitedRequestWithAnErrorAndCloses) {
  // The rest may be part of an SDP: it must not be parsed as a request.
  const auto client = connect();
  send_all(client.get(), "d3:sdpXX" + offer("smuggled"));
  EXPECT_TRUE(receive_once(client.get()).starts_with("d6:result5:error"));
  EXPECT_EQ(receive_once(client.get()), "");
  EXPECT_EQ(offers(), 0U);
  expect_pong(connect().get());
}

TEST_F(ServerTest, AnswersAfterAHalfClose) {
  const auto client = connect();
  send_all(client.get(), kPing);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(receive_once(client.get()), kPong);
  EXPECT_EQ(receive_once(client.get()), "");
}

TEST_F(ServerTest, SurvivesVanishedClients) {
  for (int i = 0; i < 50; ++i) {
    send_all(connect().get(), std::string(kPing) + std::string(kPing));
    send_all(connect().get(), kPing.substr(0, 9));
  }
  expect_pong(connect().get());
}

TEST_F(ServerTest, DisconnectsAClientThatNeverReads) {
  const auto other = connect();
  const auto client = connect();
  const auto later = Server::Clock::now() + std::chrono::hours(1);
  for (;;) {
    if (::send(client.get(), kPing.data(), kPing.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) continue;
    if (errno != EAGAIN) break;
    server_->expire(later);
  }
  EXPECT_EQ(server_->report().disconnected, 1U);
  expect_pong(other.get());
}

// More replies than its socket holds wait until the client reads; none is lost.
TEST_F(ServerTest, RepliesWaitForAClientThatReadsLate) {
  const auto client = connect();
  server_->stop();  // from here on this thread serves
  threads_.clear();
  std::string requests, replies, part(1 << 20, ' ');
  for (int i = 0; i < 40'000; ++i) requests += kPing;
  std::string_view rest = requests;
  const auto send_some = [&] {
    const ssize_t n = ::send(client.get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
    server_->run_once();
    return n > 0;
  };
  for (int stalled = 0; stalled < 1000; ++stalled) stalled = send_some() ? 0 : stalled;
  ASSERT_FALSE(rest.empty()) << "the server never waited for this client";
  for (int idle = 0; idle < 1000; ++idle) {
    static_cast<void>(send_some());
    const ssize_t n = ::recv(client.get(), part.data(), part.size(), MSG_DONTWAIT);
    if (n <= 0) continue;
    replies.append(part, 0, static_cast<std::size_t>(n));
    idle = 0;
  }
  EXPECT_EQ(replies.size(), 40'000 * kPong.size());
  EXPECT_EQ(server_->report().disconnected, 0U);
}

TEST_F(ServerTest, ServesTwoHundredConnectionsAtOnce) {
  std::vector<FileDescriptor> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(connect());
  for (const auto& client : clients) send_all(client.get(), kPing);
  for (const auto& client : clients) EXPECT_EQ(receive_once(client.get()), kPong);
  EXPECT_EQ(server_->report().connections, 200U);
}

TEST_F(ServerTest, RefusesConnectionsOfOneProcessPastItsLimit) {
  std::vector<FileDescriptor> clients;
  for (std::size_t i = 0; i < Connections::kMaxPerProcess; ++i) clients.push_back(connect());
  if (!clients.back().valid()) GTEST_SKIP() << "too few descriptors allowed here";
  for (const FileDescriptor& client : clients) expect_pong(client.get());  // each has its place
  EXPECT_EQ(receive_once(connect().get()), "");
  EXPECT_EQ(server_->report().refused, 1U);
  const OtherProcess other(*this, 1);  // other processes are unaffected
  EXPECT_EQ(other.connected(), 1U);
  clients.resize(1);
  expect_pong(clients.front().get());
}

TEST_F(ServerTest, RefusesConnectionsPastTheLimitImmediately) {
  std::list<OtherProcess> others;
  for (std::size_t i = 0; i < Connections::kMaxConnections / Connections::kMaxPerProcess; ++i) {
    others.emplace_back(*this, Connections::kMaxPerProcess);
    if (others.back().connected() != Connections::kMaxPerProcess) {
      GTEST_SKIP() << "too few descriptors allowed here";
    }
  }
  EXPECT_EQ(receive_once(connect().get()), "");
  EXPECT_EQ(server_->report().refused, 1U);
  others.pop_back();
  std::string reply;  // once the server has seen the connections go
  for (int i = 0; i < 10'000 && reply.empty(); ++i) {
    const auto client = connect();
    static_cast<void>(::send(client.get(), kPing.data(), kPing.size(), MSG_NOSIGNAL));
    reply = receive_once(client.get());
  }
  EXPECT_EQ(reply, kPong);
}

TEST_F(ServerTest, ClosesConnectionsOfUsersThatAreNotPeers) {
  if (::geteuid() != 0) GTEST_SKIP() << "to be another user takes root";
  const OtherProcess stranger(*this, 3, "peers.sock", 12346);
  EXPECT_EQ(stranger.connected(), 0U);
  EXPECT_EQ(server_->report().peers_refused, 3U);
  EXPECT_EQ(OtherProcess(*this, 1, "peers.sock", 12345).connected(), 1U);
  EXPECT_EQ(OtherProcess(*this, 1, "peers.sock").connected(), 1U);
  EXPECT_EQ(server_->report().peers_refused, 3U);
}

TEST_F(ServerTest, DisconnectsAProcessWithTooManyUnfinishedRequests) {
  std::vector<FileDescriptor> clients;
  for (std::size_t i = 0; i <= Connections::kMaxUnfinished; ++i) {
    clients.push_back(connect());
    send_all(clients.back().get(), std::string(kPing) + std::string(kPing.substr(0, 9)));
    EXPECT_EQ(receive_once(clients.back().get()), kPong);
  }
  // Any one of them may exceed the limit: the threads race.
  const auto ended = [](const FileDescriptor& client) {
    char byte = 0;
    return ::recv(client.get(), &byte, 1, MSG_DONTWAIT) == 0;
  };
  while (server_->report().disconnected == 0) std::this_thread::yield();
  EXPECT_EQ(std::ranges::count_if(clients, ended), 1);
  EXPECT_EQ(server_->report().disconnected, 1U);
  expect_pong(connect().get());
}

// A flooding client is served one turn at a time: another client's ping does not wait for all of
// its requests.
TEST_F(ServerTest, FloodDelaysNoOtherClient) {
  const auto flood = connect(), client = connect();
  expect_pong(flood.get());
  expect_pong(client.get());
  server_->stop();
  threads_.clear();
  std::string burst;
  while (burst.size() + kPing.size() <= 65'536) burst += kPing;
  send_all(flood.get(), burst);
  send_all(client.get(), kPing);
  std::string pong(kPong.size(), ' ');
  const auto served = [&] {
    return ::recv(client.get(), pong.data(), pong.size(), MSG_DONTWAIT) > 0;
  };
  while (!served()) server_->run_once();
  EXPECT_EQ(pong, kPong);
  std::string replies(1 << 20, ' ');
  const ssize_t before = ::recv(flood.get(), replies.data(), replies.size(), MSG_DONTWAIT);
  EXPECT_LE(before, static_cast<ssize_t>(2 * kPong.size() * Connection::kTurn));
}

TEST_F(ServerTest, DisconnectsOverdueRequestsOnly) {
  const auto idle = connect();
  expect_pong(idle.get());
  const auto finished = connect();
  send_all(finished.get(), std::string(kPing) + "\r\n");  // a line end is no unfinished request
  EXPECT_EQ(receive_once(finished.get()), kPong);
  const auto slow = connect();
  send_all(slow.get(), std::string(kPing) + std::string(kPing.substr(0, 5)));
  EXPECT_EQ(receive_once(slow.get()), kPong);
  // The server records the rest right after it sent the reply: poll until it has.
  const auto later = Server::Clock::now() + Connection::kRequestTime + std::chrono::seconds(1);
  const timeval brief{.tv_sec = 0, .tv_usec = 1000};
  ::setsockopt(slow.get(), SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief);
  ssize_t end = -1;
  for (int i = 0; i < 1000 && end != 0; ++i) {
    server_->expire(later);
    char byte = 0;
    end = ::recv(slow.get(), &byte, 1, 0);
  }
  EXPECT_EQ(end, 0);
  expect_pong(idle.get());
  expect_pong(finished.get());
}

TEST_F(ServerTest, UdpAnswersErrorsWithTheCookie) {
  const auto client = connect_udp();
  send_all(client.get(), "c7 " + std::string(kUnknown));
  EXPECT_EQ(receive_once(client.get()), "c7 " + std::string(kUnknownReply));
}

}  // namespace
}  // namespace millrace

// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/datagrams.h"

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "control/server/codecs.h"
#include "control/server/listener.h"
#include "dataplane/base/file_descriptor.h"
#include "dataplane/base/socket_address.h"
#include "tests/socket_io.h"

namespace millrace {
namespace {

constexpr std::string_view kPing = "d7:command4:pinge";
constexpr std::string_view kPong = "d6:result4:ponge";

class DatagramsTest : public testing::Test {
 protected:
  void SetUp() override {
    ControlSocket socket;
    socket.udp = Endpoint{IpAddress::v4(127, 0, 0, 1), UdpPort(0)};  // the kernel's choice
    auto bound = Listener::bind(socket);
    ASSERT_TRUE(bound);
    listener.emplace(std::move(*bound));
    datagrams.emplace(listener->fd(), codec_of(ControlProtocol::ng),
                      ServeContext{.handle = handle, .config = config});
  }
  [[nodiscard]] FileDescriptor connect() const {
    SocketAddress address;
    EXPECT_EQ(::getsockname(listener->fd(), address.get(), &address.size), 0);
    FileDescriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), address.get(), address.size), 0);
    return fd;
  }
  // The replies, in order. On loopback a datagram has arrived when its send() returns.
  [[nodiscard]] static std::vector<std::string> replies(const FileDescriptor& client) {
    std::vector<std::string> all;
    for (std::array<char, 65536> buffer{};;) {
      const ssize_t n = ::recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n < 0) return all;
      all.emplace_back(buffer.data(), static_cast<std::size_t>(n));
    }
  }
  [[nodiscard]] std::vector<std::string> ask(const FileDescriptor& client,
                                             std::string_view datagram) {
    send_all(client.get(), datagram);
    EXPECT_FALSE(datagrams->receive());
    return replies(client);
  }

  std::size_t handled = 0;
  std::size_t to_fail = 0;  // of the next requests
  const Handler handle = [this](const Request&) {
    ++handled;
    if (to_fail > 0) {
      --to_fail;
      throw std::bad_alloc();
    }
    return reply::Pong();
  };
  const Config config;
  std::optional<Listener> listener;
  std::optional<Datagrams> datagrams;
};

TEST_F(DatagramsTest, RetransmissionGetsTheSameReply) {
  const std::string request = "1_23_4 " + std::string(kPing);
  const std::vector reply{"1_23_4 " + std::string(kPong)};
  const auto client = connect();
  EXPECT_EQ(ask(client, request), reply);
  EXPECT_EQ(ask(client, request), reply);
  EXPECT_EQ(handled, 1U);
  // Another proxy's cookie of the same text is another request.
  EXPECT_EQ(ask(connect(), request), reply);
  EXPECT_EQ(handled, 2U);
}

TEST_F(DatagramsTest, IgnoresDatagramsWithoutCookie) {
  const auto client = connect();
  EXPECT_TRUE(ask(client, kPing).empty());
  EXPECT_TRUE(ask(client, "nothing").empty());
  EXPECT_EQ(ask(client, "c " + std::string(kPing)), std::vector{"c " + std::string(kPong)});
}

// A request that failed is executed on retransmission; requests next to it are unaffected.
TEST_F(DatagramsTest, RetransmissionAfterAnExceptionIsServed) {
  const auto client = connect();
  const std::string request = "1 " + std::string(kPing), other = "2 " + std::string(kPing);
  to_fail = 2;
  EXPECT_TRUE(ask(client, request).empty());
  send_all(client.get(), request);
  EXPECT_EQ(ask(client, other), std::vector{"2 " + std::string(kPong)});
  EXPECT_EQ(ask(client, request), std::vector{"1 " + std::string(kPong)});
  EXPECT_EQ(ask(client, request), std::vector{"1 " + std::string(kPong)});
  EXPECT_EQ(handled, 4U);
}

// Requests of two clients in one queue, some without a reply: each client gets its own replies in
// order.
TEST_F(DatagramsTest, ServesQueuedDatagramsInTurns) {
  constexpr std::size_t kAll = Datagrams::kTurn * Datagrams::kBatch + 1;
  const std::array clients = {connect(), connect()};
  std::array<std::vector<std::string>, clients.size()> expected;
  for (std::size_t i = 0; i < kAll; ++i) {
    const std::string cookie = i % 5 == 0 ? "" : "c" + std::to_string(i) + " ";
    send_all(clients.at(i % 2).get(), cookie + std::string(kPing));
    if (!cookie.empty()) expected.at(i % 2).push_back(cookie + std::string(kPong));
  }
  EXPECT_TRUE(datagrams->receive()) << "there is one more than a turn";
  EXPECT_FALSE(datagrams->receive());
  for (std::size_t i = 0; i < clients.size(); ++i) {
    EXPECT_EQ(replies(clients.at(i)), expected.at(i));
  }
}

}  // namespace
}  // namespace millrace

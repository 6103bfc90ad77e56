// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "tests/temporary_directory.h"

namespace millrace {
namespace {

class ListenerTest : public testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return directory_ / "ng.sock"; }
  [[nodiscard]] ControlSocket config() const {
    ControlSocket config;
    config.path = path();
    return config;
  }
  [[nodiscard]] bool connects() const {
    const FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    const sockaddr_un address = here();
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  // A socket of some other program.
  [[nodiscard]] FileDescriptor foreign(bool listening) const {
    FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    if (!fd.valid()) throw std::runtime_error("no socket");
    const sockaddr_un address = here();
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    if (listening) {
      EXPECT_EQ(::listen(fd.get(), 1), 0);
    }
    return fd;
  }
  [[nodiscard]] std::string error() const { return error(config()); }
  [[nodiscard]] static std::string error(const ControlSocket& config) {
    const auto listener = Listener::bind(config);
    return listener ? "bound" : listener.error().message;
  }

  TemporaryDirectory directory_;

 private:
  [[nodiscard]] sockaddr_un here() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().c_str(), path().size());
    return address;
  }
};

std::string own_pid() { return std::to_string(::getpid()); }

TEST_F(ListenerTest, AcceptsConnectionsOnlyAfterListen) {
  const auto listener = Listener::bind(config());
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_EQ(listener->name(), "unix:" + path());
  EXPECT_FALSE(connects());
  ASSERT_TRUE(listener->listen());
  EXPECT_TRUE(connects());
}

TEST_F(ListenerTest, SetsTheMode) {
  ControlSocket socket = config();
  socket.mode = 0626;
  socket.owner = std::to_string(::getuid()) + ":" + std::to_string(::getgid());
  const auto listener = Listener::bind(socket);
  ASSERT_TRUE(listener) << listener.error().message;
  struct stat status{};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0626U);
}

TEST_F(ListenerTest, RemovesItsFiles) {
  {
    const auto listener = Listener::bind(config());
    ASSERT_TRUE(listener);
    EXPECT_TRUE(std::filesystem::exists(path()));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(ListenerTest, ReplacesAStaleSocketFile) {
  foreign(true).reset();
  ASSERT_TRUE(std::filesystem::exists(path()));
  std::ofstream(path() + ".lock") << "";  // of a process that was killed
  const auto listener = Listener::bind(config());
  ASSERT_TRUE(listener) << listener.error().message;
  ASSERT_TRUE(listener->listen());
  EXPECT_TRUE(connects());
}

TEST_F(ListenerTest, RefusesTheSocketOfALiveInstance) {
  const auto first = Listener::bind(config());
  ASSERT_TRUE(first);
  EXPECT_EQ(error(), "control socket " + path() + " is in use by process " + own_pid() +
                         "; stop that process or set another path");
  ASSERT_TRUE(first->listen());
  EXPECT_EQ(error(), "control socket " + path() + " is in use by process " + own_pid() +
                         "; stop that process or set another path");
  EXPECT_TRUE(connects());  // unharmed
}

TEST_F(ListenerTest, RefusesTheSocketOfAnotherProgram) {
  const auto other = foreign(true);
  EXPECT_EQ(error(), "control socket " + path() + " is in use by process " + own_pid() +
                         "; stop that process or set another path");
  EXPECT_TRUE(connects());
  EXPECT_FALSE(std::filesystem::exists(path() + ".lock"));
}

TEST_F(ListenerTest, RefusesToReplaceAnOrdinaryFile) {
  std::ofstream(path()) << "precious";
  EXPECT_EQ(error(),
            "control socket " + path() +
                ": the path is a file that is not a socket; remove it or set another path");
  EXPECT_EQ(std::filesystem::file_size(path()), 8U);
}

TEST_F(ListenerTest, ErrorsNameTheMissingDirectoryOrUser) {
  ControlSocket socket = config();
  socket.path = (directory_ / "nosuch" / "ng.sock").string();
  EXPECT_EQ(error(socket), "control socket " + socket.path + ": cannot create " + socket.path +
                               ".lock: No such file or directory; create its directory and make "
                               "it writable");
  socket = config();
  socket.owner = "no-such-user";
  EXPECT_EQ(error(socket), "control socket " + path() +
                               ": owner 'no-such-user': no such user; create it or correct owner");
  socket.owner = ":no-such-group";
  EXPECT_NE(error(socket).find("no such group"), std::string::npos);
}

TEST_F(ListenerTest, AdmitsPeersRootAndOurselves) {
  ControlSocket config = this->config();
  const uid_t stranger = ::geteuid() + 77;
  {
    const auto listener = Listener::bind(config);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_TRUE(listener->admits(stranger));  // no list: the mode decides
  }
  config.peers = {"root", std::to_string(stranger + 1)};
  const auto listener = Listener::bind(config);
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_FALSE(listener->admits(stranger));
  EXPECT_TRUE(listener->admits(stranger + 1));
  EXPECT_TRUE(listener->admits(0));
  EXPECT_TRUE(listener->admits(::geteuid()));
}

TEST_F(ListenerTest, RefusesANonexistentPeer) {
  ControlSocket config = this->config();
  config.peers = {"root", "nobody-of-that-name"};
  EXPECT_EQ(error(config), "control socket " + path() +
                               ": peer 'nobody-of-that-name': no such user; create it or correct "
                               "peers");
}

TEST_F(ListenerTest, UdpPortInUseIsRefused) {
  ControlSocket socket;
  std::optional<Result<Listener>> first;
  for (std::uint16_t port = 42'223; port < 42'323 && !(first && *first); ++port) {
    socket.udp = Endpoint{IpAddress::v4(127, 0, 0, 1), UdpPort(port)};
    first.emplace(Listener::bind(socket));
  }
  ASSERT_TRUE(*first) << first->error().message;
  EXPECT_EQ(error(socket), "control socket " + (*first)->name() +
                               ": Address already in use; stop the program that uses it (ss -ulpn) "
                               "or set another port");
}

}  // namespace
}  // namespace millrace

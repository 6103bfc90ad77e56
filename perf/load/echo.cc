// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/echo.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "dataplane/base/socket_address.h"
#include "dataplane/base/text.h"

namespace millrace::loadgen {
namespace {

using Buffer = std::array<char, 65536>;

Error last_error(const char* what) { return {std::string(what) + ": " + error_text(errno)}; }

// These functions run until the process is killed.
[[noreturn]] void answer_datagrams(int socket, const std::string& reply) {
  static Buffer request;
  std::string whole;
  while (true) {
    SocketAddress from;
    const ssize_t n = ::recvfrom(socket, request.data(), request.size(), 0, from.get(), &from.size);
    if (n <= 0) continue;
    const std::string_view text(request.data(), static_cast<std::size_t>(n));
    whole.assign(text.substr(0, text.find(' ') + 1)).append(reply);
    static_cast<void>(::sendto(socket, whole.data(), whole.size(), 0, from.get(), from.size));
  }
}

[[noreturn]] void answer_streams(int listener, const std::string& reply) {
  static Buffer request;
  while (true) {
    const FileDescriptor peer(::accept(listener, nullptr, nullptr));
    while (::recv(peer.get(), request.data(), request.size(), 0) > 0) {
      static_cast<void>(::send(peer.get(), reply.data(), reply.size(), MSG_NOSIGNAL));
    }
  }
}

}  // namespace

Result<Echo> Echo::start(const ControlAddress& like, const std::string& reply, pid_t process) {
  Echo echo;
  FileDescriptor socket;
  echo.address_.keep = like.keep;
  if (like.udp) {
    SocketAddress own(Endpoint{
        like.udp->address.is_v4() ? IpAddress::v4(127, 0, 0, 1) : IpAddress::parse("::1").value(),
        UdpPort(0)});
    socket.reset(::socket(own.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.valid() || ::bind(socket.get(), own.get(), own.size) != 0 ||
        ::getsockname(socket.get(), own.get(), &own.size) != 0) {
      return std::unexpected(last_error("no socket for the echo server"));
    }
    echo.address_.udp = own.endpoint();
  } else {
    std::string folder = "/tmp/millrace-load-XXXXXX";
    if (::mkdtemp(folder.data()) == nullptr) {
      return std::unexpected(last_error("no folder for the echo server's socket in /tmp"));
    }
    echo.folder_ = folder;
    echo.address_.path = folder + "/echo.sock";
    sockaddr_un own{};
    own.sun_family = AF_UNIX;
    std::ranges::copy(echo.address_.path, own.sun_path);
    socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.valid() ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
        ::listen(socket.get(), 128) != 0) {
      return std::unexpected(last_error("no socket for the echo server"));
    }
  }
  cpu_set_t cores;
  const bool placed = process != 0 && ::sched_getaffinity(process, sizeof cores, &cores) == 0;
  echo.child_ = ::fork();
  if (echo.child_ < 0) return std::unexpected(last_error("no process for the echo server"));
  if (echo.child_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (placed) static_cast<void>(::sched_setaffinity(0, sizeof cores, &cores));
    if (like.udp) answer_datagrams(socket.get(), reply);
    answer_streams(socket.get(), reply);
  }
  return echo;
}

Echo::Echo(Echo&& other) noexcept
    : address_(std::move(other.address_)),
      folder_(std::move(other.folder_)),
      child_(std::exchange(other.child_, 0)) {
  other.folder_.clear();
}

Echo::~Echo() {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

}  // namespace millrace::loadgen

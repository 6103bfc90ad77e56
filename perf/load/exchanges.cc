// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/exchanges.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "dataplane/base/socket_address.h"
#include "dataplane/base/text.h"

namespace millrace::loadgen {
namespace {

constexpr std::size_t kMaxReply = std::size_t{256} * 1024;

}  // namespace

Result<ControlAddress> ControlAddress::parse(std::string_view text) {
  ControlAddress address;
  if (text.starts_with("unix:") || text.starts_with('/')) {
    address.path = text.substr(text.starts_with('/') ? 0 : 5);
    if (address.path.size() >= sizeof(sockaddr_un::sun_path)) {
      return fail("the path of a UNIX socket has at most 107 bytes");
    }
    if (!address.path.empty()) return address;
  } else if (text.starts_with("udp:")) {
    const auto endpoint = Endpoint::parse(text.substr(4));
    if (endpoint) {
      address.udp = *endpoint;
      return address;
    }
  }
  return fail("'" + std::string(text) +
              "' is not a control socket: write unix:/run/millrace/ng.sock or udp:127.0.0.1:2223");
}

std::string ControlAddress::text() const { return udp ? "udp:" + udp->text() : "unix:" + path; }

Result<Exchanges> Exchanges::open(const ControlAddress& address, const Dialect& dialect,
                                  unsigned outstanding) {
  Exchanges exchanges(address, dialect);
  const FileDescriptor home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!address.network.empty()) {
    const FileDescriptor there(::open(address.network.c_str(), O_RDONLY | O_CLOEXEC));
    if (!there.valid() || ::setns(there.get(), CLONE_NEWNET) != 0) {
      return fail("cannot enter the network namespace " + address.network + ": " +
                  error_text(errno) +
                  "; --control-netns takes a file such as /run/netns/NAME, and needs root");
    }
  }
  const auto prepared = exchanges.prepare(outstanding);
  if (!address.network.empty() && ::setns(home.get(), CLONE_NEWNET) != 0) {
    return fail("cannot return to the network namespace: " + error_text(errno));
  }
  if (!prepared) return std::unexpected(prepared.error());
  return exchanges;
}

Result<void> Exchanges::prepare(unsigned outstanding) {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return fail("no epoll descriptor: " + error_text(errno));
  slots_.resize(outstanding);
  for (std::size_t i = outstanding; i-- > 0;) {
    free_.push_back(i);
    if (!address_.udp) continue;
    auto socket = connect();
    if (!socket) return std::unexpected(socket.error());
    slots_[i].socket = std::move(*socket);
    if (auto watched = watch(i); !watched) return watched;
  }
  return {};
}

Result<void> Exchanges::watch(std::size_t slot) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = slot;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, slots_[slot].socket.get(), &event) != 0) {
    return fail("epoll_ctl: " + error_text(errno));
  }
  return {};
}

// A connected socket, or an invalid one if the relay's listen backlog is full.
Result<FileDescriptor> Exchanges::connect() const {
  const auto refused = [this] {
    return fail("cannot reach the relay at " + address_.text() + ": " + error_text(errno) +
                "; is it running, with that control socket?");
  };
  if (address_.udp) {
    const SocketAddress to(*address_.udp);
    FileDescriptor socket(::socket(to.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket.valid() || ::connect(socket.get(), to.get(), to.size) != 0) return refused();
    return socket;
  }
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::ranges::copy(address_.path, to.sun_path);
  if (!socket.valid()) return refused();
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    if (errno == EAGAIN) return FileDescriptor();
    return refused();
  }
  return socket;
}

void Exchanges::send(std::uint32_t ticket, std::string request) {
  const std::size_t number = free_.back();
  free_.pop_back();
  Slot& slot = slots_[number];
  slot.ticket = ticket;
  slot.busy = true;
  slot.tries = 0;
  slot.reply.clear();
  if (address_.udp) {
    slot.cookie = std::to_string(::getpid()) + '_' + std::to_string(++serial_) + ' ';
    slot.request = slot.cookie + request;
  } else {
    slot.request = std::move(request);
  }
  slot.since = Clock::now();
  begin(number);
}

void Exchanges::begin(std::size_t number) {
  Slot& slot = slots_[number];
  slot.unsent = false;
  if (!slot.socket.valid()) {
    auto socket = connect();
    if (!socket) return finish(number, std::unexpected(socket.error()));
    if (!socket->valid()) {
      slot.unsent = true;
      return;
    }
    slot.socket = std::move(*socket);
    if (auto watched = watch(number); !watched) {
      return finish(number, std::unexpected(watched.error()));
    }
  }
  slot.sent = Clock::now();
  ++slot.tries;
  const ssize_t n =
      ::send(slot.socket.get(), slot.request.data(), slot.request.size(), MSG_NOSIGNAL);
  if (n == static_cast<ssize_t>(slot.request.size())) return;
  if (address_.udp && (errno == EAGAIN || errno == ENOBUFS)) return;  // same as a lost datagram
  const std::string why = error_text(errno);
  if (!address_.udp) slot.socket.reset();
  finish(number, fail("cannot reach the relay at " + address_.text() + ": " + why +
                      "; is it running, with that control socket?"));
}

std::span<const Exchanges::Done> Exchanges::poll(std::chrono::milliseconds wait) {
  std::array<epoll_event, 64> events{};
  if (!done_.empty()) wait = {};
  const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                             static_cast<int>(wait.count()));
  for (int i = 0; i < n; ++i) read(events[static_cast<std::size_t>(i)].data.u64);
  const Clock::time_point now = Clock::now();
  if (now - timeouts_checked_ > std::chrono::milliseconds(1)) check_timeouts(now);
  given_ = std::move(done_);
  done_.clear();
  return given_;
}

void Exchanges::read(std::size_t number) {
  static thread_local std::array<char, kMaxReply> chunk;
  Slot& slot = slots_[number];
  const ssize_t n = ::recv(slot.socket.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (address_.udp) {
    if (!slot.busy) return;
    if (n < 0) {
      return finish(number, fail("cannot reach the relay at " + address_.text() + ": " +
                                 error_text(errno) + "; is it running, with that control socket?"));
    }
    const std::string_view reply(chunk.data(), static_cast<std::size_t>(n));
    if (!reply.starts_with(slot.cookie)) return;  // duplicate reply to an earlier request
    return finish(number, std::string(reply.substr(slot.cookie.size())));
  }
  if (n <= 0) {
    const std::string why = n < 0 ? error_text(errno) : "it closed the connection";
    slot.socket.reset();
    if (slot.busy) finish(number, fail("no reply from the relay: " + why));
    return;
  }
  slot.reply.append(chunk.data(), static_cast<std::size_t>(n));
  const Extent extent = dialect_->frame(slot.reply);
  if (extent.state == Extent::State::incomplete) return;
  if (!address_.keep) slot.socket.reset();
  if (!slot.busy) return;
  if (extent.state == Extent::State::malformed) {
    return finish(number, fail("the reply is not valid " + std::string(dialect_->name)));
  }
  slot.reply.resize(extent.size);
  finish(number, std::move(slot.reply));
}

// Retransmits or fails requests that were not accepted or answered in time.
void Exchanges::check_timeouts(Clock::time_point now) {
  timeouts_checked_ = now;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.busy) continue;
    if (slot.unsent && now - slot.since < kPatience) {
      begin(i);
    } else if (address_.udp && now - slot.sent >= kRetry) {
      if (slot.tries >= kTries) {
        finish(i, fail("no reply from the relay at " + address_.text() +
                       "; is it running, with that control socket?"));
      } else {
        ++retransmissions_;
        begin(i);
      }
    } else if (!address_.udp && now - slot.since >= kPatience) {
      slot.socket.reset();
      finish(i, fail("no reply from the relay in 10 s"));
    }
  }
}

void Exchanges::finish(std::size_t number, Result<std::string> reply) {
  Slot& slot = slots_[number];
  slot.busy = false;
  done_.push_back({slot.ticket, std::move(reply), Clock::now() - slot.since});
  free_.push_back(number);
}

Result<std::string> Exchanges::ask(std::string request) {
  send(0, std::move(request));
  while (true) {
    const auto done = poll(std::chrono::milliseconds(100));
    if (!done.empty()) return done.front().reply;
  }
}

}  // namespace millrace::loadgen

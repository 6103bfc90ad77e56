// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include "control/log.h"
#include "control/server/codecs.h"
#include "control/server/connection.h"
#include "control/server/datagrams.h"
#include "dataplane/base/file_descriptor.h"
#include "dataplane/base/socket_address.h"
#include "dataplane/base/text.h"

namespace millrace {

namespace {

// epoll_event::data: stop, a listener by its index, or a connection by its id.
constexpr std::uint64_t kStop = 0;
constexpr std::uint64_t kFirstListener = 1;
constexpr std::uint64_t kFirstConnection = 1ULL << 32;

constexpr std::uint32_t kConnectionEvents = EPOLLIN | EPOLLRDHUP | EPOLLET;

// Events per epoll_wait(): few, so that they spread over the threads.
constexpr std::size_t kEvents = 4;

// Fails only without descriptors or memory, at start.
FileDescriptor valid(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return FileDescriptor(fd);
}

}  // namespace

struct Server::Impl {
  Impl(const std::vector<Listener>& sockets, const Config& config, Handler handle)
      : listeners(sockets),
        handler(std::move(handle)),
        context{.handle = handler, .config = config} {}

  const std::vector<Listener>& listeners;
  const Handler handler;
  const ServeContext context;
  FileDescriptor epoll = valid(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  FileDescriptor stopper = valid(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  Connections connections;
  std::map<std::size_t, Datagrams> datagrams;  // by listener
  std::atomic<std::uint64_t> next_id = kFirstConnection;
  std::atomic<bool> stopped = false, paused = false;
  std::atomic<std::uint64_t> peers_refused = 0, refused = 0;
  std::mutex mutex;
  struct Requeued {
    std::vector<std::shared_ptr<Connection>> yielded;  // after a turn, with more to serve
    std::vector<std::shared_ptr<Connection>> fresh;    // first request served, not in epoll yet
    [[nodiscard]] bool empty() const { return yielded.empty() && fresh.empty(); }
  } requeued = {};

  [[nodiscard]] bool watch(int operation, int fd, std::uint32_t events, std::uint64_t id) const {
    epoll_event event{.events = events, .data = {.u64 = id}};
    return ::epoll_ctl(epoll.get(), operation, fd, &event) == 0;
  }
  // Re-arms too: input that waits already is a new event.
  [[nodiscard]] bool watch_listener(int operation, std::size_t index) const {
    const std::uint32_t mode = listeners[index].config().udp ? EPOLLET : EPOLLONESHOT;
    return watch(operation, listeners[index].fd(), EPOLLIN | mode, kFirstListener + index);
  }
  void handle(const epoll_event& event);
  void accept(std::size_t index);
  void admit(const Listener& listener, FileDescriptor socket, std::string address);
  void post(const std::shared_ptr<Connection>& connection, std::uint32_t events);
  void watch(const std::shared_ptr<Connection>& connection);
  void serve_fresh(const std::shared_ptr<Connection>& connection);
  [[nodiscard]] Requeued take_requeued();
};

Server::Server(const std::vector<Listener>& listeners, const Config& config, Handler handle)
    : impl_(std::make_unique<Impl>(listeners, config, std::move(handle))) {
  if (!impl_->watch(EPOLL_CTL_ADD, impl_->stopper.get(), EPOLLIN, kStop)) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

Server::~Server() = default;

Result<void> Server::start() {
  Impl& impl = *impl_;
  for (std::size_t i = 0; i < impl.listeners.size(); ++i) {
    const Listener& listener = impl.listeners[i];
    if (auto listening = listener.listen(); !listening) return listening;
    if (listener.config().udp) {
      impl.datagrams.try_emplace(i, listener.fd(), codec_of(listener.config().protocol),
                                 impl.context);
    }
    if (!impl.watch_listener(EPOLL_CTL_ADD, i)) {
      return fail("control socket " + listener.name() + ": epoll_ctl: " + error_text(errno));
    }
  }
  return {};
}

void Server::run() {
  while (!impl_->stopped) run_once();
}

void Server::run_once() {
  Impl& impl = *impl_;
  const auto requeued = impl.take_requeued();
  std::array<epoll_event, kEvents> events{};
  const int count = ::epoll_wait(impl.epoll.get(), events.data(), static_cast<int>(events.size()),
                                 requeued.empty() ? -1 : 0);
  for (int i = 0; i < count; ++i) {
    try {
      impl.handle(events[static_cast<std::size_t>(i)]);
    } catch (const std::exception& error) {  // from accept(); post() catches its own
      log_event(Level::error, "control-exception", {{"reason", error.what()}});
    }
  }
  for (const auto& connection : requeued.yielded) impl.post(connection, Connection::kInput);
  for (const auto& connection : requeued.fresh) impl.serve_fresh(connection);
}

void Server::stop() {
  impl_->stopped = true;
  static_cast<void>(::eventfd_write(impl_->stopper.get(), 1));
}

Server::Impl::Requeued Server::Impl::take_requeued() {
  const std::lock_guard lock(mutex);
  return std::exchange(requeued, {});
}

void Server::Impl::handle(const epoll_event& event) {
  const std::uint64_t id = event.data.u64;
  if (id >= kFirstConnection) {
    const auto connection = connections.find(id);
    if (!connection) return;
    const bool hangup = (event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    return post(connection, Connection::kInput | (hangup ? Connection::kHangup : 0));
  }
  if (id == kStop) return;
  const std::size_t index = id - kFirstListener;
  const auto udp = datagrams.find(index);
  if (udp == datagrams.end()) return accept(index);
  if (udp->second.receive()) static_cast<void>(watch_listener(EPOLL_CTL_MOD, index));
}

// One connection per event: an accept4() that returns EAGAIN costs as much as one that succeeds.
void Server::Impl::accept(std::size_t index) {
  const Listener& listener = listeners[index];
  SocketAddress from;
  FileDescriptor socket(::accept4(listener.fd(), listener.config().tcp ? from.get() : nullptr,
                                  &from.size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid() && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
    // Out of descriptors or memory: the next attempt would fail as fast.
    log_event(Level::error, "control-accept-failed", {{"reason", error_text(errno)}});
    paused = true;
    return;
  }
  // Leave further connections to another thread.
  static_cast<void>(watch_listener(EPOLL_CTL_MOD, index));
  if (!socket.valid()) return;
  admit(listener, std::move(socket), listener.config().tcp ? from.endpoint().text() : "");
}

// Refused clients are closed immediately, so that the proxy fails over instead of timing out.
void Server::Impl::admit(const Listener& listener, FileDescriptor socket, std::string address) {
  const auto connection = std::make_shared<Connection>(
      next_id++, std::move(socket), codec_of(listener.config().protocol), context, connections,
      std::move(address), listener.tls());
  if (!listener.admits(connection->client().process.uid)) {
    ++peers_refused;
    return connection->log(Level::warning, "control-peer-refused",
                           "the user is not among the socket's peers", {"socket", listener.name()});
  }
  if (const std::string_view full = connections.add(connection); !full.empty()) {
    ++refused;
    return connection->log(Level::warning, "control-refused", full, {"socket", listener.name()});
  }
  if (log_enabled(Level::debug)) {
    connection->log(Level::debug, "control-connected", "", {"socket", listener.name()});
  }
  post(connection, Connection::kInput);
  if (connection->closed()) return;
  if (!connection->has_served()) return watch(connection);
  // Most clients close after one request: waiting a turn saves them the EPOLL_CTL_ADD.
  const std::lock_guard lock(mutex);
  requeued.fresh.push_back(connection);
}

// Later input raises an edge; so does input that waits already.
void Server::Impl::watch(const std::shared_ptr<Connection>& connection) {
  std::uint32_t events = kConnectionEvents;
  if (connection->has_blocked()) events |= EPOLLOUT;
  if (!watch(EPOLL_CTL_ADD, connection->fd(), events, connection->id())) connection->close();
}

void Server::Impl::serve_fresh(const std::shared_ptr<Connection>& connection) {
  post(connection, Connection::kInput);
  if (!connection->closed()) watch(connection);
}

// An unexpected exception closes the connection; live calls are not affected.
void Server::Impl::post(const std::shared_ptr<Connection>& connection, std::uint32_t events) {
  try {
    const Connection::Next next = connection->post(events);
    if (next.room) {
      // EPOLL_CTL_MOD also reports room that became free before this call. It fails if watch() has
      // not added the connection yet; watch() then sets EPOLLOUT itself.
      static_cast<void>(
          watch(EPOLL_CTL_MOD, connection->fd(), kConnectionEvents | EPOLLOUT, connection->id()));
    }
    if (!next.turn) return;
  } catch (const std::exception& error) {
    log_event(Level::error, "control-exception", {{"reason", error.what()}});
    return connection->close();
  }
  const std::lock_guard lock(mutex);
  requeued.yielded.push_back(connection);
}

void Server::expire(Clock::time_point now) {
  Impl& impl = *impl_;
  for (const auto& connection : impl.connections.all()) {
    if (connection->is_overdue(now)) impl.post(connection, Connection::kOverdue);
  }
  if (!impl.paused.exchange(false)) return;
  for (std::size_t i = 0; i < impl.listeners.size(); ++i) {
    static_cast<void>(impl.watch_listener(EPOLL_CTL_MOD, i));
  }
}

ServerReport Server::report() const {
  return {.connections = impl_->connections.count(),
          .peers_refused = impl_->peers_refused,
          .refused = impl_->refused,
          .disconnected = impl_->connections.disconnected};
}

}  // namespace millrace

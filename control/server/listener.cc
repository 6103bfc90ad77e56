// SPDX-License-Identifier: BSD-3-Clause
#include "control/server/listener.h"

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "dataplane/base/socket_address.h"
#include "dataplane/base/text.h"

namespace millrace {

namespace {

constexpr int kBacklog = 4096;  // a full backlog blocks connect() of a SIP worker

// Fails only without descriptors or memory, at start.
FileDescriptor open_socket(int family, int type) {
  FileDescriptor fd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) throw std::system_error(errno, std::generic_category(), "socket");
  return fd;
}

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;

  // Precondition: the name fits. A name that starts with NUL is abstract.
  explicit UnixAddress(std::string_view name)
      : size(static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() +
                                    (name.starts_with('\0') ? 0 : 1))) {
    address.sun_family = AF_UNIX;
    std::ranges::copy(name, address.sun_path);
  }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// The process that listens on the address; 0 = in another PID namespace, unset = none.
std::optional<pid_t> listening_process(const UnixAddress& address) {
  const FileDescriptor probe = open_socket(AF_UNIX, SOCK_STREAM);
  // EAGAIN: the backlog is full, so a process listens.
  if (::connect(probe.get(), address.get(), address.size) != 0 && errno != EAGAIN) {
    return std::nullopt;
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return 0;
  return peer.pid > 0 ? peer.pid : 0;
}

std::string in_use_by(std::optional<pid_t> pid) {
  const pid_t known = pid.value_or(0);
  return known > 0 ? fmt::format("in use by process {}", known)
                   : std::string("in use by another process");
}

// ---- owner -----------------------------------------------------------------------------------

struct Owner {
  uid_t user = static_cast<uid_t>(-1);  // -1: unchanged
  gid_t group = static_cast<gid_t>(-1);
};

// By name or number.
std::optional<uid_t> find_user(const std::string& text) {
  if (const auto id = decimal<unsigned>(text)) return id;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): at start, before there are other threads
  const passwd* entry = ::getpwnam(text.c_str());
  return entry == nullptr ? std::nullopt : std::optional(entry->pw_uid);
}

Result<Owner> parse_owner(const std::string& text) {
  Owner owner;
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string user = text.substr(0, colon);
  const std::string group = colon < text.size() ? text.substr(colon + 1) : "";
  if (!user.empty()) {
    const auto id = find_user(user);
    if (!id) return fail(fmt::format("owner '{}': no such user; create it or correct owner", user));
    owner.user = *id;
  }
  if (!group.empty()) {
    if (const auto id = decimal<unsigned>(group)) {
      owner.group = *id;
      // NOLINTNEXTLINE(concurrency-mt-unsafe): as above
    } else if (const ::group* entry = ::getgrnam(group.c_str())) {
      owner.group = entry->gr_gid;
    } else {
      return fail(fmt::format("owner '{}': no such group; create it or correct owner", group));
    }
  }
  return owner;
}

// ---- the lock beside a socket file -------------------------------------------------------------

std::string lock_path(const std::string& socket) { return socket + ".lock"; }

Result<LockFile> take_lock(const std::string& socket) {
  const std::string path = lock_path(socket);
  auto lock = LockFile::take(path);
  if (lock) return std::move(*lock);
  if (lock.error().error != 0) {
    return fail(
        fmt::format("control socket {}: cannot create {}: {}; create its directory and make "
                    "it writable",
                    socket, path, error_text(lock.error().error)));
  }
  return fail(fmt::format("control socket {} is {}; stop that process or set another path", socket,
                          in_use_by(lock.error().holder)));
}

// Removes a stale socket file. Precondition: the lock is held.
Result<void> remove_stale(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};  // bind() reports any other fault
  if (!S_ISSOCK(status.st_mode)) {
    return fail(
        fmt::format("control socket {}: the path is a file that is not a socket; remove it "
                    "or set another path",
                    path));
  }
  if (const auto pid = listening_process(UnixAddress(path))) {
    return fail(fmt::format("control socket {} is {}; stop that process or set another path", path,
                            in_use_by(pid)));
  }
  if (::unlink(path.c_str()) != 0) {
    return fail(fmt::format("control socket {}: cannot replace the stale file: {}", path,
                            error_text(errno)));
  }
  return {};
}

// User ids of config.peers.
Result<std::vector<uid_t>> find_peers(const ControlSocket& config) {
  std::vector<uid_t> users;
  for (const std::string& peer : config.peers) {
    const auto user = find_user(peer);
    if (!user) {
      return fail(
          fmt::format("control socket {}: peer '{}': no such user; create it or correct peers",
                      config.path, peer));
    }
    users.push_back(*user);
  }
  return users;
}

// "unix:/run/millrace/ng.sock"
std::string name_of(const ControlSocket& config) {
  if (config.udp) return "udp:" + config.udp->text();
  if (config.tcp) return (config.tls ? "tls:" : "tcp:") + config.tcp->text();
  return "unix:" + config.path;
}

// Null: without TLS.
Result<std::unique_ptr<const TlsContext>> load_tls(const ControlSocket& config) {
  if (!config.tls) return nullptr;
  auto context = TlsContext::load(*config.tls);
  if (context) return context;
  return fail(fmt::format("control socket {}: {}", name_of(config), context.error().message));
}

}  // namespace

Result<void> Listener::check(const ControlSocket& config) {
  if (auto peers = find_peers(config); !peers) return std::unexpected(std::move(peers.error()));
  if (auto owner = parse_owner(config.owner); !owner) {
    return fail(fmt::format("control socket {}: {}", config.path, owner.error().message));
  }
  if (auto tls = load_tls(config); !tls) return std::unexpected(std::move(tls.error()));
  return {};
}

Result<Listener> Listener::bind(const ControlSocket& config, int type) {
  Listener listener(config);
  auto bound = config.udp   ? listener.bind_udp(*config.udp)
               : config.tcp ? listener.bind_tcp(*config.tcp)
                            : listener.bind_unix(type);
  if (!bound) return std::unexpected(std::move(bound.error()));
  return listener;
}

Result<void> Listener::bind_unix(int type) {
  const std::string& path = config_.path;
  auto peers = find_peers(config_);
  if (!peers) return std::unexpected(std::move(peers.error()));
  peers_ = std::move(*peers);
  const auto owner = parse_owner(config_.owner);
  if (!owner) return fail(fmt::format("control socket {}: {}", path, owner.error().message));
  auto lock = take_lock(path);
  if (!lock) return std::unexpected(std::move(lock.error()));
  if (auto room = remove_stale(path); !room) return room;
  lock_.emplace(std::move(*lock));
  FileDescriptor fd = open_socket(AF_UNIX, type);
  const UnixAddress address(path);
  const mode_t before = ::umask(0777);  // no client can connect before owner and mode are set
  const int result = ::bind(fd.get(), address.get(), address.size);
  const int error = errno;
  ::umask(before);
  if (result != 0) {
    return fail(fmt::format("control socket {}: cannot create it: {}; check its directory", path,
                            error_text(error)));
  }
  socket_ = std::move(fd);
  if (::lchown(path.c_str(), owner->user, owner->group) != 0) {
    return fail(
        fmt::format("control socket {}: cannot give it to owner '{}': {}; start as root or "
                    "name a group that this user is in",
                    path, config_.owner, error_text(errno)));
  }
  if (::chmod(path.c_str(), config_.mode) != 0) {
    return fail(fmt::format("control socket {}: cannot set its mode: {}", path, error_text(errno)));
  }
  return {};
}

Result<void> Listener::bind_internet(const Endpoint& endpoint, int type) {
  const SocketAddress address(endpoint);
  socket_ = open_socket(address.family(), type);
  const int on = 1;
  // A restart does not wait for connections of the previous process; UDP has none.
  if (type == SOCK_STREAM) set_option(SOL_SOCKET, SO_REUSEADDR, on);
  if (address.family() == AF_INET6) set_option(IPPROTO_IPV6, IPV6_V6ONLY, on);
  if (::bind(socket_.get(), address.get(), address.size) == 0) return {};
  const int error = errno;
  return fail(fmt::format(
      "control socket {}: {}; {}", name(), error_text(error),
      error == EADDRINUSE
          ? fmt::format("stop the program that uses it (ss -{}lpn) or set another port",
                        type == SOCK_STREAM ? 't' : 'u')
          : fmt::format("set {} address of this machine", config_.tls ? "an" : "a loopback")));
}

Result<void> Listener::bind_udp(const Endpoint& endpoint) {
  if (auto bound = bind_internet(endpoint, SOCK_DGRAM); !bound) return bound;
  set_option(SOL_SOCKET, SO_RCVBUF, 4 << 20);  // bursts of many SIP workers; the kernel caps it
  return {};
}

// The accepted sockets inherit the options.
Result<void> Listener::bind_tcp(const Endpoint& endpoint) {
  auto tls = load_tls(config_);
  if (!tls) return std::unexpected(std::move(tls.error()));
  tls_ = std::move(*tls);
  if (auto bound = bind_internet(endpoint, SOCK_STREAM); !bound) return bound;
  set_option(IPPROTO_TCP, TCP_NODELAY, 1);
  // A client that vanished frees its place after 90 s: clients may be idle for hours.
  set_option(SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_option(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_option(IPPROTO_TCP, TCP_KEEPCNT, 3);
  return {};
}

void Listener::set_option(int level, int name, int value) const {
  ::setsockopt(socket_.get(), level, name, &value, sizeof value);
}

Listener::~Listener() {
  if (socket_.valid() && !config_.path.empty()) ::unlink(config_.path.c_str());
}

Result<void> Listener::listen() const {
  if (!config_.udp && ::listen(socket_.get(), kBacklog) != 0) {
    return fail(fmt::format("control socket {}: {}", name(), error_text(errno)));
  }
  return {};
}

bool Listener::admits(uid_t user) const {
  return peers_.empty() || user == 0 || user == ::geteuid() ||
         std::ranges::find(peers_, user) != peers_.end();
}

std::string Listener::name() const { return name_of(config_); }

}  // namespace millrace

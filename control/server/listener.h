// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A control socket that is ours: bound, with its owner and mode, but not served yet.
//
// Sockets are bound before any NIC is touched, so that a second instance fails first and cheaply.
// A UNIX socket is not listening until listen(): a proxy that connects while the relay starts is
// refused at once and asks another relay, instead of waiting. A socket file left behind by a dead
// process is replaced, one that somebody listens on is not; a lock file beside it, held as long as
// the socket, decides between two instances that start together. Both files are removed at the end.

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/config/config.h"
#include "dataplane/base/file_descriptor.h"
#include "dataplane/base/lock_file.h"
#include "dataplane/base/net.h"

namespace millrace {

class Listener {
 public:
  // Whether its users and groups are there; touches nothing.
  [[nodiscard]] static Result<void> check(const ControlSocket& config);
  // `type` is that of a socket file.
  [[nodiscard]] static Result<Listener> bind(const ControlSocket& config, int type = SOCK_STREAM);
  ~Listener();
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) = delete;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // UNIX sockets: connections are taken from now on.
  [[nodiscard]] Result<void> listen() const;
  // Whether a process of that user may use it.
  [[nodiscard]] bool admits(uid_t user) const;
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const ControlSocket& config() const { return config_; }
  // "unix:/run/millrace/ng.sock" or "udp:127.0.0.1:2223", as Kamailio writes it.
  [[nodiscard]] std::string name() const;

 private:
  explicit Listener(ControlSocket config) : config_(std::move(config)) {}
  [[nodiscard]] Result<void> bind_unix(int type);
  [[nodiscard]] Result<void> bind_udp(const Endpoint& endpoint);

  ControlSocket config_;
  std::vector<uid_t> peers_;
  std::optional<LockFile> lock_;  // of a socket file
  FileDescriptor socket_;
};

}  // namespace millrace

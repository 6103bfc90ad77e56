// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A bound control socket, not yet accepting.
//
// Sockets are bound, with owner and mode, before any NIC is touched, so that a second instance
// fails early and cheaply. A UNIX socket is not listening until listen(): a proxy that connects
// while the relay starts is refused at once and fails over, instead of timing out. A stale socket
// file of a dead process is replaced; one with a listening process is an error. A lock file beside
// it, held as long as the socket, decides between two instances that start together. The destructor
// removes both files. A TCP socket with TLS has read its certificates (tls.h).

#include <sys/socket.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/config/config.h"
#include "control/server/tls.h"
#include "dataplane/base/file_descriptor.h"
#include "dataplane/base/lock_file.h"
#include "dataplane/base/net.h"

namespace millrace {

class Listener {
 public:
  // Checks that its users and groups exist and reads its certificates; changes nothing.
  [[nodiscard]] static Result<void> check(const ControlSocket& config);
  // `type`: socket type of a UNIX socket; ignored for others.
  [[nodiscard]] static Result<Listener> bind(const ControlSocket& config, int type = SOCK_STREAM);
  ~Listener();
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) = delete;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // Stream sockets: connections are accepted from now on.
  [[nodiscard]] Result<void> listen() const;
  // Whether processes of that user may connect.
  [[nodiscard]] bool admits(uid_t user) const;
  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] const ControlSocket& config() const { return config_; }
  [[nodiscard]] const TlsContext* tls() const { return tls_.get(); }  // null: not encrypted
  // "unix:/run/millrace/ng.sock" or "udp:127.0.0.1:2223", as Kamailio writes it.
  [[nodiscard]] std::string name() const;

 private:
  explicit Listener(ControlSocket config) : config_(std::move(config)) {}
  [[nodiscard]] Result<void> bind_unix(int type);
  [[nodiscard]] Result<void> bind_internet(const Endpoint& endpoint, int type);
  [[nodiscard]] Result<void> bind_udp(const Endpoint& endpoint);
  [[nodiscard]] Result<void> bind_tcp(const Endpoint& endpoint);

  void set_option(int level, int name, int value) const;

  ControlSocket config_;
  std::vector<uid_t> peers_;
  std::optional<LockFile> lock_;  // of a socket file
  std::unique_ptr<const TlsContext> tls_;
  FileDescriptor socket_;
};

}  // namespace millrace

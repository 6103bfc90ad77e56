// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// TLS with client certificates on accepted TCP sockets (OpenSSL).
//
// A TlsContext has the files of one control socket: certificate, key, the clients' CAs. It is
// loaded at start, shared by all connections and outlives them. A TlsSession is the state of one
// connection. Its calls never wait: the handshake proceeds inside receive(), and the caller limits
// its time. The server requires a client certificate that a CA of `authority` signed, that no
// revocation list there names, and whose subject matches the passport; otherwise the handshake
// fails and fault() has the reason. TLS 1.2 and 1.3. Without resumption every connection presents
// its certificate; without renegotiation it does so once.

#include <sys/types.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/config/config.h"
#include "dataplane/base/result.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX, SSL
struct ssl_st;

namespace millrace {

class TlsContext {
 public:
  // The error names the key of the config file, the file and the remedy.
  [[nodiscard]] static Result<std::unique_ptr<const TlsContext>> load(const Tls& config);

 private:
  friend class TlsSession;
  friend struct TlsVerifier;
  struct Free {
    void operator()(ssl_ctx_st* context) const;
  };
  explicit TlsContext(const Tls& config);
  [[nodiscard]] Result<void> load_files(const Tls& config);

  std::unique_ptr<ssl_ctx_st, Free> context_;
  const std::vector<SubjectRule> passport_;
};

class TlsSession {
 public:
  // `socket` is non-blocking. It and `context` must outlive the session.
  TlsSession(const TlsContext& context, int socket);
  ~TlsSession();  // notifies the client of the end
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // As recv() and send() on a non-blocking socket. errno EPROTO: fault() has the reason, and the
  // session is over. A send() that returned EAGAIN must be repeated with the same bytes.
  [[nodiscard]] ssize_t receive(std::span<char> buffer);
  [[nodiscard]] ssize_t send(std::string_view bytes);

  [[nodiscard]] bool handshaking() const;
  // receive() returned EAGAIN because the socket has no room for a handshake message.
  [[nodiscard]] bool wants_room() const { return wants_room_; }
  [[nodiscard]] const std::string& fault() const { return fault_; }

 private:
  friend struct TlsVerifier;
  struct Free {
    void operator()(ssl_st* session) const;
  };
  [[nodiscard]] ssize_t result(int code, std::size_t size);
  [[nodiscard]] ssize_t set_fault(std::string_view reason);

  const TlsContext& context_;
  std::unique_ptr<ssl_st, Free> session_;
  bool accepted_ = false;  // the client's certificate
  bool wants_room_ = false;
  std::string fault_;
};

}  // namespace millrace

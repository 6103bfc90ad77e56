// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Echo server in a separate process that answers every request with the same bytes. It measures the
// cost of kernel and context switches in the same run as the relay. It serves one connection at a
// time.

#include <sys/types.h>

#include <string>

#include "perf/load/exchanges.h"

namespace millrace::loadgen {

class Echo {
 public:
  // Uses the same kind of socket as `like` and the cores that `process` may use (0: any). A reply
  // to a datagram begins with the request's cookie.
  [[nodiscard]] static Result<Echo> start(const ControlAddress& like, const std::string& reply,
                                          pid_t process);
  Echo(Echo&& other) noexcept;
  Echo& operator=(Echo&&) = delete;
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;
  ~Echo();  // kills the process

  [[nodiscard]] const ControlAddress& address() const { return address_; }

 private:
  Echo() = default;
  ControlAddress address_;
  std::string folder_;  // of the socket
  pid_t child_ = 0;
};

}  // namespace millrace::loadgen

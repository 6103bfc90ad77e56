// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A bare server that answers every request with the same bytes, in a process of its own: what the
// kernel and the change of processes cost, measured beside a relay in the same run. Of connections
// it has one at a time.

#include <sys/types.h>

#include <string>

#include "perf/load/exchanges.h"

namespace millrace::loadgen {

class Echo {
 public:
  // On the same kind of socket as `like`, and on the cores that `process` may use (0: any). A reply
  // to a datagram begins with the request's cookie.
  [[nodiscard]] static Result<Echo> start(const ControlAddress& like, const std::string& reply,
                                          pid_t process);
  Echo(Echo&& other) noexcept;
  Echo& operator=(Echo&&) = delete;
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;
  ~Echo();  // ends it

  [[nodiscard]] const ControlAddress& address() const { return address_; }

 private:
  Echo() = default;
  ControlAddress address_;
  std::string folder_;  // of the socket
  pid_t child_ = 0;
};

}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Blocking reads and writes on a socket, for tests.

#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace millrace {

// One call of recv(); empty at the end of the connection. To wait in vain is a failure.
inline std::string receive_once(int fd) {
  std::string buffer(1 << 20, '\0');
  const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
  EXPECT_FALSE(n < 0 && errno == EAGAIN) << "nothing came in time";
  buffer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return buffer;
}

inline std::string receive_exactly(int fd, std::size_t size) {
  std::string buffer(size, '\0');
  const ssize_t n = ::recv(fd, buffer.data(), size, MSG_WAITALL);
  buffer.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return buffer;
}

inline void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ASSERT_GT(n, 0);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace millrace

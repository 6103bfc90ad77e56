// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The log lines that a test makes the process write.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {

// Standard error goes into a pipe for its lifetime.
class CapturedStderr {
 public:
  CapturedStderr() : saved_(::dup(STDERR_FILENO)) {
    EXPECT_EQ(::pipe2(ends_, O_CLOEXEC | O_NONBLOCK), 0);
    ::dup2(ends_[1], STDERR_FILENO);
  }
  ~CapturedStderr() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;

  // Makes the pipe full, as a reader that hangs would.
  void fill() const {
    const std::string block(4096, '.');
    while (::write(ends_[1], block.data(), block.size()) > 0) {
    }
  }
  void wait_until_readable() const {
    pollfd end{ends_[0], POLLIN, 0};
    EXPECT_EQ(::poll(&end, 1, 10'000), 1);
  }
  [[nodiscard]] std::vector<std::string> lines() const {
    std::string all;
    std::array<char, 4096> buffer{};
    for (ssize_t n; (n = ::read(ends_[0], buffer.data(), buffer.size())) > 0;) {
      all.append(buffer.data(), static_cast<std::size_t>(n));
    }
    std::vector<std::string> result;
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t end = all.find('\n', at);
      result.push_back(all.substr(at, end - at));
      at = end == std::string::npos ? all.size() : end + 1;
    }
    return result;
  }

 private:
  int saved_;
  int ends_[2] = {-1, -1};
};

}  // namespace millrace

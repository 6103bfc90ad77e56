// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Progress line on the terminal with the remaining time. Prints nothing if stderr is not a
// terminal.

#include <chrono>
#include <string>
#include <string_view>

namespace millrace::loadgen {

class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  // `expected`: total duration.
  explicit Progress(std::chrono::nanoseconds expected);
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Draws at most every 100 ms and calls `what` only then.
  template <typename What>
  void show(Clock::time_point now, What&& what) {
    if (!shown_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    draw(now, what());
  }
  // Prints a permanent line above the progress line.
  void print_line(std::string_view line);
  // Removes the progress line, before results are printed.
  void finish();

  // "[#####.....]  50 %  12 s left".
  [[nodiscard]] static std::string bar(double share, std::chrono::nanoseconds left);

 private:
  void draw(Clock::time_point now, const std::string& what);
  void clear() const;

  bool shown_;
  Clock::time_point begin_, end_, next_;
};

}  // namespace millrace::loadgen

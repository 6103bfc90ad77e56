// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A line on the terminal that says how far it is and when it will be done; nothing if stderr is no
// terminal.

#include <chrono>
#include <string>
#include <string_view>

namespace millrace::loadgen {

class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  // `expected`: how long everything will take.
  explicit Progress(std::chrono::nanoseconds expected);
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap unless a tenth of a second has passed. `what` is called only then.
  template <typename What>
  void show(Clock::time_point now, What&& what) {
    if (!shown_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    draw(now, what());
  }
  // A line for good, above.
  void say(std::string_view line);
  // Takes the line away for good, before results are printed.
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

// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace millrace::loadgen {

Progress::Progress(std::chrono::nanoseconds expected)
    : shown_(::isatty(STDERR_FILENO) == 1),
      begin_(Clock::now()),
      end_(begin_ + expected),
      next_(begin_) {}

void Progress::finish() {
  if (shown_) clear();
  shown_ = false;
}

std::string Progress::bar(double share, std::chrono::nanoseconds left) {
  constexpr std::size_t kWidth = 20;
  share = std::clamp(share, 0.0, 1.0);
  const auto full = static_cast<std::size_t>(share * static_cast<double>(kWidth));
  const auto seconds =
      std::max<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(left).count(), 0);
  return '[' + std::string(full, '#') + std::string(kWidth - full, '.') + "] " +
         std::to_string(std::lround(share * 100)) + " %  " + std::to_string(seconds) + " s left";
}

void Progress::draw(Clock::time_point now, const std::string& what) {
  const std::chrono::duration<double> all = end_ - begin_;
  const std::chrono::duration<double> done = now - begin_;
  const double share = all.count() > 0 ? done / all : 1;
  const std::string line = "\r\x1b[K" + bar(share, end_ - now) + "  " + what;
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

void Progress::clear() const { std::fputs("\r\x1b[K", stderr); }

void Progress::print_line(std::string_view line) {
  if (shown_) clear();
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fputc('\n', stderr);
}

}  // namespace millrace::loadgen

// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/relay_process.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace millrace::loadgen {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The first number in a text; 0 without one.
std::uint64_t number_in(std::string_view text) {
  const std::size_t at = text.find_first_of("0123456789");
  std::uint64_t number = 0;
  if (at != std::string_view::npos) {
    std::from_chars(text.data() + at, text.data() + text.size(), number);
  }
  return number;
}

bool polls(std::string_view thread) {
  return thread.starts_with("rte-worker-") || thread.starts_with("lcore-worker-");
}

}  // namespace

std::chrono::nanoseconds Usage::total() const {
  std::chrono::nanoseconds sum{};
  for (const auto& [thread, time] : cpu) sum += time;
  return sum;
}

std::chrono::nanoseconds Usage::without_workers() const {
  std::chrono::nanoseconds sum{};
  for (const auto& [thread, time] : cpu) {
    if (!polls(thread)) sum += time;
  }
  return sum;
}

Result<Usage> usage_of(pid_t process) {
  const fs::path folder = fs::path("/proc") / std::to_string(process);
  Usage usage;
  std::error_code error;
  fs::directory_iterator threads(folder / "task", error);
  if (error) {
    return fail("no process " + std::to_string(process) +
                ": give --relay-pid the relay's process id (pidof rtpengine)");
  }
  for (; !error && threads != fs::directory_iterator(); threads.increment(error)) {
    // The first field is the run time in nanoseconds.
    const fs::path thread = threads->path();
    usage.cpu[first_line(thread / "comm")] +=
        std::chrono::nanoseconds(number_in(first_line(thread / "schedstat")));
  }
  std::ifstream status(folder / "status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) usage.resident_kb = number_in(line);
  }
  return usage;
}

Usage operator-(const Usage& end, const Usage& begin) {
  Usage used = end;
  for (auto& [thread, time] : used.cpu) {
    if (const auto before = begin.cpu.find(thread); before != begin.cpu.end()) {
      time -= before->second;
    }
  }
  return used;
}

}  // namespace millrace::loadgen

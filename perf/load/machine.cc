// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <fstream>
#include <thread>

namespace millrace::loadgen {
namespace {

// The text after the colon in the first line that starts with `key`.
std::string field(const char* file, const std::string& key) {
  std::ifstream input(file);
  for (std::string line; std::getline(input, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t at = line.find_first_not_of(" \t", line.find(':') + 1);
    return at == std::string::npos ? "" : line.substr(at);
  }
  return {};
}

std::string first_line(const char* file) {
  std::ifstream input(file);
  std::string line;
  std::getline(input, line);
  return line;
}

std::string now_in_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

}  // namespace

Machine this_machine() {
  Machine machine;
  utsname name{};
  if (::uname(&name) == 0) {
    machine.host = name.nodename;
    machine.kernel = std::string(name.sysname) + ' ' + name.release;
  }
  machine.cpu = field("/proc/cpuinfo", "model name");
  machine.cores = std::thread::hardware_concurrency();
  machine.governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  machine.memory_mb = static_cast<unsigned long>(::sysconf(_SC_PHYS_PAGES)) / 1024 *
                      static_cast<unsigned long>(::sysconf(_SC_PAGESIZE)) / 1024;
  machine.date = now_in_utc();
  return machine;
}

}  // namespace millrace::loadgen

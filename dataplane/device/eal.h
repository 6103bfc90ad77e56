// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// RAII owner of DPDK's environment (EAL), started from the configuration.
//
// check.h reports most faults before EAL starts. Log lines and usage text of EAL do not reach the
// terminal during start-up; an error carries the last log lines. Virtual devices are not on EAL's
// command line: Ethdev::open probes them one by one, so that an error names the device.
// EAL pins the calling thread to the main core. Eal::start restores the thread's affinity, less the
// worker cores, and threads created later inherit it. EAL's threads block signals. lcore 0 is the
// main thread, lcore i + 1 the worker on worker_cores[i].

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/config.h"

namespace millrace {

// Descriptors of one receive or transmit queue.
inline constexpr unsigned kRingSize = 1024;
// Packet buffers in the cache of each lcore.
inline constexpr unsigned kMempoolCache = 256;

// The distinct devices of the interfaces, in configuration order.
[[nodiscard]] std::vector<std::string> devices_of(const DataplaneConfig& config);

// EAL's command line. Precondition: check() passed.
[[nodiscard]] std::vector<std::string> eal_arguments(const DataplaneConfig& config);

// Captures DPDK's log lines of one step, for its error text.
class DpdkLog {
 public:
  DpdkLog();
  ~DpdkLog();
  DpdkLog(const DpdkLog&) = delete;
  DpdkLog& operator=(const DpdkLog&) = delete;

  // " (DPDK: line; line)": the last lines, up to 400 bytes; empty if none.
  [[nodiscard]] std::string last_lines();

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* stream_;
};

// The lcore of the worker on worker_cores[index]; lcore 0 is the main thread.
[[nodiscard]] constexpr unsigned lcore_of_worker(std::size_t index) {
  return static_cast<unsigned>(index) + 1;
}

class Eal {
 public:
  [[nodiscard]] static Result<Eal> start(const DataplaneConfig& config);
  Eal(Eal&& other) noexcept;
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;
  Eal& operator=(Eal&&) = delete;
  ~Eal();

 private:
  Eal() = default;
  bool running_ = true;
};

}  // namespace millrace

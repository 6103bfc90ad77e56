// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// DPDK's environment (EAL): started from the configuration, cleaned up by scope.
//
// check.h finds what cannot work before. An error of EAL carries its last log lines, which are kept
// from the terminal while it starts, and so is its usage text. Virtual devices are not handed to
// EAL's command line: Ethdev::open probes them one by one, so that a failure has a device's name.
// EAL pins the calling thread to the main core; Eal::start gives it back its own cores without
// the workers', and every thread that it creates later inherits these. EAL's threads take no
// signals. lcore 0 is the main thread; lcore i + 1 is the worker on worker_cores[i].

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/config.h"

namespace millrace {

// Descriptors of one receive or transmit queue.
inline constexpr unsigned kRingSize = 1024;
// Packet buffers that each lcore may keep for itself.
inline constexpr unsigned kMempoolCache = 256;

// What the interfaces name, each once, in their order: the NICs.
[[nodiscard]] std::vector<std::string> devices_of(const DataplaneConfig& config);

// EAL's command line. Precondition: check() passed.
[[nodiscard]] std::vector<std::string> eal_arguments(const DataplaneConfig& config);

// Keeps DPDK's log lines of one step, to explain its failure.
class DpdkLog {
 public:
  DpdkLog();
  ~DpdkLog();
  DpdkLog(const DpdkLog&) = delete;
  DpdkLog& operator=(const DpdkLog&) = delete;

  // " (DPDK: line; line)", the last few; empty if it said nothing.
  [[nodiscard]] std::string explanation();

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

// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The command line of millrace-load.

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/net.h"
#include "perf/load/exchanges.h"
#include "perf/load/shape.h"

namespace millrace::loadgen {

inline constexpr int kExitMissed = 1;   // a requirement was missed, or nothing could be measured
inline constexpr int kExitOptions = 2;  // the command line is wrong

enum class Mode : std::uint8_t { run, churn, control, fill, latency, search, overload, soak };
inline constexpr std::array<std::string_view, 8> kModeNames = {
    "run", "churn", "control", "fill", "latency", "search", "overload", "soak"};
[[nodiscard]] constexpr std::string_view name(Mode mode) {
  return kModeNames.at(static_cast<std::size_t>(mode));
}

struct Options {
  Mode mode = Mode::run;

  // The relay
  ControlAddress control;
  std::string protocol = "ng";
  unsigned outstanding = 8;
  std::vector<std::string> directions;
  pid_t relay_pid = 0;  // 0 = not measured

  // The calls
  std::size_t calls = 10;
  double calls_per_second = 0;  // 0 = the relay's maximum
  double hold = 0;              // seconds; 0 = to the end
  Shape shape = kShapes[0];
  double rtcp_interval = 5;  // seconds; 0 = none
  bool rtcp_mux = false;
  bool nat = false;
  std::uint64_t seed = 1;

  // The wire
  std::array<Endpoint, 2> parties = {{{IpAddress::v4(127, 0, 0, 1), UdpPort(20000)},
                                      {IpAddress::v4(127, 0, 0, 1), UdpPort(22000)}}};
  unsigned sockets = 2;
  std::array<std::string, 2> devices;  // of DPDK; empty: kernel sockets
  std::array<std::uint8_t, 2> prefix_lengths{};
  std::vector<IpAddress> gateways;
  bool hugepages = false;
  int cpu = -1;  // -1 = not pinned
  unsigned nap_us = 0;

  // The measurement
  double warm_up = 1;
  double duration = 10;
  double every = 0;                    // seconds per row of the time series; 0 = none
  std::optional<double> max_loss;      // percent
  std::optional<double> max_delay_ms;  // median

  // search
  std::size_t resolution = 10;  // calls
  std::uint64_t allow = 0;      // lost packets that a trial may have and count as lossless

  // overload
  double factor = 4;
  double flood = 2;  // seconds

  std::string json;  // file; empty = none
  std::string command_line;
};

// Exit without a measurement: after --help and --version (status 0), or on a wrong command line.
struct Exit {
  int status = 0;
  std::string output;  // for stdout
  std::string error;   // for stderr
};

// `version`: what --version prints.
[[nodiscard]] std::expected<Options, Exit> parse_options(int argc, const char* const* argv,
                                                         const std::string& version);

}  // namespace millrace::loadgen

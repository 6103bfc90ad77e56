// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The control side for benchmarks: calls over a real data plane on a null device.
//
// The data plane has ports for 100,000 calls with one audio stream each. Port quarantine and delete
// delay are 0, so that calls can be set up and deleted without a pause.

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

#include "control/call/calls.h"
#include "control/config/config.h"
#include "perf/allocations.h"

namespace millrace::bench {

inline constexpr std::size_t kMediaAddresses = 8;

inline const Config& config() {
  static const Config made = [] {
    std::string addresses;
    for (std::size_t i = 1; i <= kMediaAddresses; ++i) {
      addresses += (i == 1 ? "\"198.18.0." : "\", \"198.18.0.") + std::to_string(i) + "/24";
    }
    auto parsed = parse_config(R"(
[dataplane]
worker_cores = [0]
memory_mb = 128
mbufs = 4096
idle_sleep_us = 1000
eal = ["--no-shconf", "--no-pci", "--no-telemetry"]
[timeouts]
quarantine = 0
delete_delay = 0
[[interface]]
name = "a"
device = "net_null0,no-rx=1"
addresses = [)" + addresses + R"("]
ports = [1024, 65535]
[[control]]
path = "/unused"
)",
                               "benchmark");
    if (!parsed) throw std::runtime_error(parsed.error().text());
    return std::move(*parsed);
  }();
  return made;
}

// EAL can be initialised only once per process.
inline std::unique_ptr<Dataplane>& started_dataplane() {
  static std::unique_ptr<Dataplane> instance;
  return instance;
}
inline Dataplane& dataplane() {
  auto& instance = started_dataplane();
  if (!instance) {
    auto started = Dataplane::start(config().dataplane);
    if (!started) throw std::runtime_error(started.error().message);
    instance = std::move(*started);
  }
  return *instance;
}

// Offer and answer of two G.711 phones.
inline constexpr std::string_view kOfferSdp =
    "v=0\r\n"
    "o=alice 2890844526 2890844526 IN IP4 198.18.1.100\r\n"
    "s=-\r\n"
    "c=IN IP4 198.18.1.100\r\n"
    "t=0 0\r\n"
    "m=audio 49170 RTP/AVP 0 8 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-15\r\n"
    "a=ptime:20\r\n"
    "a=sendrecv\r\n";
inline constexpr std::string_view kAnswerSdp =
    "v=0\r\n"
    "o=bob 2808844564 2808844564 IN IP4 198.18.1.200\r\n"
    "s=-\r\n"
    "c=IN IP4 198.18.1.200\r\n"
    "t=0 0\r\n"
    "m=audio 5004 RTP/AVP 0 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-15\r\n"
    "a=ptime:20\r\n"
    "a=sendrecv\r\n";
inline constexpr std::string_view kFromTag = "9fxced76sl-1";
inline constexpr std::string_view kToTag = "314159-8321";

// A Call-ID of usual length.
inline std::string call_id(std::uint64_t number) {
  return "3848276298220188511-" + std::to_string(number) + "@198.18.1.100";
}

// Counts heap allocations per iteration.
class Allocations {
 public:
  explicit Allocations(benchmark::State& state) : state_(state), before_(allocations()) {}
  ~Allocations() {
    const auto count = static_cast<double>(allocations() - before_);
    state_.counters["allocations"] = benchmark::Counter(
        count / static_cast<double>(state_.iterations()), benchmark::Counter::kAvgThreads);
  }
  Allocations(const Allocations&) = delete;
  Allocations& operator=(const Allocations&) = delete;

 private:
  benchmark::State& state_;
  std::uint64_t before_;
};

// Replaces BENCHMARK_MAIN(): stops the data plane before the process exits.
inline int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  started_dataplane().reset();
  return 0;
}

}  // namespace millrace::bench

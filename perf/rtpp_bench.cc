// SPDX-License-Identifier: BSD-3-Clause
// Parsing a command of the rtpproxy protocol and printing the reply.

#include <string>
#include <string_view>
#include <vector>

#include "control/protocol/rtpp/rtpp.h"
#include "perf/control_bench.h"

namespace millrace::rtpp {
namespace {

// Captured from Kamailio's rtpproxy module (tests/data/rtpp/unix.txt).
constexpr std::string_view kUpdate =
    "Uc0,8,101 1-22684@127.0.0.1 192.168.1.10 6000 22684SIPpTag001;1";
constexpr std::string_view kLookup =
    "Lc0,101 1-22684@127.0.0.1 10.0.0.20 7000 22684SIPpTag001;1 uastag1;1";
constexpr std::string_view kRemove = "D 1-22684@127.0.0.1 22684SIPpTag001 uastag1";

void parse_command(benchmark::State& state, std::string_view text) {
  if (!parse(text, bench::config(), {})) state.SkipWithError("refused");
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(parse(text, bench::config(), {}));
}
BENCHMARK_CAPTURE(parse_command, update, kUpdate);
BENCHMARK_CAPTURE(parse_command, lookup, kLookup);
BENCHMARK_CAPTURE(parse_command, remove, kRemove);

void print_update(benchmark::State& state) {
  const Reply reply =
      reply::Endpoints{{{IpAddress::v4(198, 18, 0, 1), UdpPort(35000)}}, std::string()};
  const auto command = parse(kUpdate, bench::config(), {});
  if (!command) return state.SkipWithError("refused");
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(print_port(reply, *command));
}
BENCHMARK(print_update);

}  // namespace
}  // namespace millrace::rtpp

int main(int argc, char** argv) { return millrace::bench::run(argc, argv); }

// SPDX-License-Identifier: BSD-3-Clause
// Parsing a request of MediaProxy's dispatcher protocol and printing the reply.

#include <string>

#include "control/protocol/mediaproxy/mediaproxy.h"
#include "perf/control_bench.h"
#include "tests/data.h"

namespace millrace::mediaproxy {
namespace {

void parse_message(benchmark::State& state, const std::string& name) {
  const std::string message = read_data("mediaproxy/" + name);
  if (!parse(message)) state.SkipWithError("refused");
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(parse(message));
}
BENCHMARK_CAPTURE(parse_message, request, "use_request");
BENCHMARK_CAPTURE(parse_message, reply, "use_reply");
BENCHMARK_CAPTURE(parse_message, remove, "use_remove");

void print_update(benchmark::State& state) {
  const IpAddress address = IpAddress::v4(198, 18, 0, 1);
  const Reply reply =
      reply::Endpoints{{{address, UdpPort(35000)}, {address, UdpPort(35002)}}, std::string()};
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(encode(reply));
}
BENCHMARK(print_update);

}  // namespace
}  // namespace millrace::mediaproxy

int main(int argc, char** argv) { return millrace::bench::run(argc, argv); }

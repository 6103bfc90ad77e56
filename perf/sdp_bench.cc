// SPDX-License-Identifier: BSD-3-Clause
// Parsing and rewriting SDP: a phone's, and a browser's with ICE replaced by the relay's.

#include <string>

#include "control/sdp/sdp.h"
#include "perf/control_bench.h"
#include "tests/data.h"

namespace millrace::sdp {
namespace {

std::string body(const std::string& name) {
  return name.empty() ? std::string(bench::kOfferSdp) : read_data("sdp/" + name + ".in.sdp");
}

void parse_body(benchmark::State& state, const std::string& name) {
  const std::string text = body(name);
  if (!parse(text)) state.SkipWithError("refused");
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(parse(text));
}

void rewrite_body(benchmark::State& state, const std::string& name) {
  const std::string text = body(name);
  const auto session = parse(text);
  if (!session) return state.SkipWithError("refused");
  Rewrite to;
  to.ice = Ice::add;
  for (const Media& media : session->sections) {
    const UdpPort port(35000);
    to.sections.push_back({.address = IpAddress::v4(198, 18, 0, 1),
                           .port = media.port == UdpPort() ? UdpPort() : port,
                           .rtcp = port.next()});
  }
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(rewrite(*session, to));
}

BENCHMARK_CAPTURE(parse_body, phone, "");
BENCHMARK_CAPTURE(parse_body, proxy_with_ice, "kamailio_offer_ice_removed");
BENCHMARK_CAPTURE(parse_body, browser, "browser_ice_removed");
BENCHMARK_CAPTURE(rewrite_body, phone, "");
BENCHMARK_CAPTURE(rewrite_body, proxy_with_ice, "kamailio_offer_ice_removed");
BENCHMARK_CAPTURE(rewrite_body, browser, "browser_ice_removed");

}  // namespace
}  // namespace millrace::sdp

int main(int argc, char** argv) { return millrace::bench::run(argc, argv); }

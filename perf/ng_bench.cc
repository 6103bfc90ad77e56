// SPDX-License-Identifier: BSD-3-Clause
// Cost of the ng protocol: framing a message, parsing it, printing the reply. In bencode and JSON,
// with captured messages of proxies (tests/data/ng).

#include <string>
#include <utility>

#include "control/protocol/ng/json.h"
#include "control/protocol/ng/ng.h"
#include "perf/control_bench.h"
#include "tests/data.h"

namespace millrace::ng {
namespace {

std::string captured(const std::string& name, Encoding encoding) {
  const std::string message = read_data("ng/" + name + ".bin");
  return encoding == Encoding::json ? json::from_bencode(message) : message;
}

void frame_message(benchmark::State& state, const std::string& name, Encoding encoding) {
  const std::string message = captured(name, encoding);
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(frame(message));
}

void parse_message(benchmark::State& state, const std::string& name, Encoding encoding) {
  const std::string message = captured(name, encoding);
  if (!parse(message)) state.SkipWithError("refused");
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(parse(message));
}

void print_reply(benchmark::State& state, const Reply& reply, Encoding encoding) {
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(encode("5323_1", encoding, reply));
}

// The report in the reply to a delete of a call between two parties.
CallReport report() {
  const auto tag = [](std::string own, std::string peer) {
    const StreamReport rtp;
    StreamReport rtcp;
    rtcp.rtcp = true;
    MediaReport media;
    media.type = "audio";
    media.protocol = "RTP/AVP";
    media.codec = "PCMU/8000";
    media.streams = {rtp, rtcp};
    TagReport result;
    result.tag = std::move(own);
    result.peer_tag = std::move(peer);
    result.sections = {media};
    return result;
  };
  CallReport call;
  call.call_id = bench::call_id(1);
  const std::string from(bench::kFromTag), to(bench::kToTag);
  call.tags = {tag(from, to), tag(to, from)};
  return call;
}

const Reply kPong = reply::Pong{};
const Reply kSdp = reply::Sdp{std::string(bench::kOfferSdp)};
const Reply kDeleted = reply::Deleted{report(), {}};

BENCHMARK_CAPTURE(frame_message, offer, "unix_offer", Encoding::bencode);
BENCHMARK_CAPTURE(frame_message, offer_json, "unix_offer", Encoding::json);
BENCHMARK_CAPTURE(parse_message, ping, "unix_ping", Encoding::bencode);
BENCHMARK_CAPTURE(parse_message, offer, "unix_offer", Encoding::bencode);
BENCHMARK_CAPTURE(parse_message, answer, "unix_answer", Encoding::bencode);
BENCHMARK_CAPTURE(parse_message, delete, "unix_delete", Encoding::bencode);
BENCHMARK_CAPTURE(parse_message, offer_json, "unix_offer", Encoding::json);
BENCHMARK_CAPTURE(print_reply, pong, kPong, Encoding::bencode);
BENCHMARK_CAPTURE(print_reply, sdp, kSdp, Encoding::bencode);
BENCHMARK_CAPTURE(print_reply, sdp_json, kSdp, Encoding::json);
BENCHMARK_CAPTURE(print_reply, deleted, kDeleted, Encoding::bencode);
BENCHMARK_CAPTURE(print_reply, deleted_json, kDeleted, Encoding::json);

}  // namespace
}  // namespace millrace::ng

int main(int argc, char** argv) { return millrace::bench::run(argc, argv); }

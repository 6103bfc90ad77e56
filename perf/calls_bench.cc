// SPDX-License-Identifier: BSD-3-Clause
// Cost of a call from offer to delete, as requests and as ng messages, by one thread and by
// several, with no other calls and with 100,000; cost of a request in a call of many dialogs;
// memory per call.

#include <malloc.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "control/protocol/ng/bencode.h"
#include "control/protocol/ng/ng.h"
#include "perf/control_bench.h"

// callgrind starts to count here.
extern "C" [[gnu::noinline]] void millrace_begin_counting() { benchmark::ClobberMemory(); }

namespace millrace {
namespace {

using Clock = Calls::Clock;

Request request(Command command, std::string_view call_id) {
  Request result;
  result.command = command;
  result.call_id = call_id;
  result.from_tag = bench::kFromTag;
  result.latching.received_from = IpAddress::v4(198, 18, 1, 100);
  if (command == Command::offer) result.sdp = bench::kOfferSdp;
  if (command == Command::answer) result.sdp = bench::kAnswerSdp;
  if (command != Command::offer) result.to_tag = bench::kToTag;
  return result;
}

bool ok(const Reply& reply) {
  const auto* const deleted = std::get_if<reply::Deleted>(&reply);
  return deleted != nullptr ? deleted->warning.empty() : std::holds_alternative<reply::Sdp>(reply);
}

bool establish(Calls& calls, const std::string& id) {
  const auto now = Clock::now();
  return ok(calls.handle(request(Command::offer, id), now)) &&
         ok(calls.handle(request(Command::answer, id), now));
}
bool remove(Calls& calls, const std::string& id) {
  return ok(calls.handle(request(Command::remove, id), Clock::now()));
}

// All threads of a benchmark share them.
std::unique_ptr<Calls> calls;

void make_calls(const benchmark::State& state) {
  calls = std::make_unique<Calls>(bench::config(), bench::dataplane());
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    if (!establish(*calls, bench::call_id(static_cast<std::uint64_t>(i)))) {
      throw std::runtime_error("call refused");
    }
  }
}
void drop_calls(const benchmark::State&) { calls.reset(); }

// Threads share no call.
std::uint64_t first_number(const benchmark::State& state) {
  return 1'000'000'000 * (1 + static_cast<std::uint64_t>(state.thread_index()));
}

void cycle(benchmark::State& state) {
  std::uint64_t number = first_number(state);
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) {
    const std::string id = bench::call_id(number++);
    if (!establish(*calls, id) || !remove(*calls, id)) return state.SkipWithError("refused");
  }
}
BENCHMARK(cycle)->Arg(0)->Arg(100'000)->Setup(make_calls)->Teardown(drop_calls);
BENCHMARK(cycle)->Arg(0)->ThreadRange(2, 4)->UseRealTime()->Setup(make_calls)->Teardown(drop_calls);

// What the rtpengine modules send.
// NOLINTNEXTLINE(bugprone-easily-swappable-parameters): in the order of the message
std::string message(std::string_view command, std::string_view id, std::string_view sdp) {
  bencode::Writer out;
  out.dictionary();
  if (!sdp.empty()) out.entry("sdp", sdp);
  out.entry("call-id", id);
  out.list("received-from");
  out.string("IP4");
  out.string("198.18.1.100");
  out.end();
  out.entry("from-tag", bench::kFromTag);
  if (command != "offer") out.entry("to-tag", bench::kToTag);
  out.list("replace");
  out.string("origin");
  out.end();
  out.entry("command", command);
  out.end();
  return std::move(out).take();
}

void ng_cycle(benchmark::State& state) {
  std::vector<std::array<std::string, 3>> cycles;
  for (std::uint64_t number = 0; number < 1024; ++number) {
    const std::string id = bench::call_id(number);
    cycles.push_back({message("offer", id, bench::kOfferSdp),
                      message("answer", id, bench::kAnswerSdp), message("delete", id, "")});
  }
  const Handler handle = [now = Clock::now()](const Request& asked) {
    return calls->handle(asked, now);
  };
  const ServeContext context{.handle = handle, .config = bench::config()};
  std::size_t next = 0;
  const bench::Allocations count(state);
  for ([[maybe_unused]] auto _ : state) {
    for (const std::string& text : cycles[next++ % cycles.size()]) {
      benchmark::DoNotOptimize(ng::frame(text));
      const ServeResult answer = ng::serve(text, context);
      if (answer.reply.find("6:result2:ok") == answer.reply.npos) {
        return state.SkipWithError("refused");
      }
    }
  }
  state.counters["cycles"] = static_cast<double>(state.iterations());
}
BENCHMARK(ng_cycle)->Arg(0)->Setup(make_calls)->Teardown(drop_calls);
// Fixed number of iterations, for callgrind.
BENCHMARK(ng_cycle)
    ->Name("counted/ng/cycle")
    ->Arg(0)
    ->Iterations(1024)
    ->Setup(make_calls)
    ->Teardown(drop_calls);

// One request in each of kForks calls with `dialogs` fork branches. All branches are offered, all
// but the last are answered. The caller has media with the last branch that answered.
struct ForkCase {
  const char* name;
  void (*ask)(Request& request, std::string& last);
};
constexpr std::uint64_t kForks = 8;

std::string branch(std::int64_t number) { return "z9hG4bK-" + std::to_string(number); }

bool fork(Calls& table, const std::string& id, std::int64_t dialogs) {
  for (std::int64_t i = 0; i < dialogs; ++i) {
    const std::string via = branch(i), tag = std::string(bench::kToTag) + via;
    Request offer = request(Command::offer, id), answer = request(Command::answer, id);
    offer.via_branch = answer.via_branch = via;
    answer.to_tag = tag;
    if (!ok(table.handle(offer, Clock::now()))) return false;
    if (i + 1 < dialogs && !ok(table.handle(answer, Clock::now()))) return false;
  }
  return true;
}

constexpr std::array<ForkCase, 5> kForkCases = {{
    // The whole call.
    {"end", [](Request& asked, std::string&) { asked.command = Command::remove; }},
    // Deletes the branch that has media: the caller is moved to another one.
    {"leave",
     [](Request& asked, std::string& last) {
       asked.command = Command::remove;
       asked.via_branch = last;
     }},
    {"query", [](Request& asked, std::string&) { asked.command = Command::query; }},
    // Answers the last branch: the caller is moved to it.
    {"join",
     [](Request& asked, std::string& last) {
       asked.command = Command::answer;
       asked.sdp = bench::kAnswerSdp;
       asked.to_tag = "the last one's";
       asked.via_branch = last;
     }},
    {"offer",
     [](Request& asked, std::string& last) {
       asked.command = Command::offer;
       asked.sdp = bench::kOfferSdp;
       asked.via_branch = last;
     }},
}};

void in_a_fork(benchmark::State& state, const ForkCase& what) {
  const std::int64_t dialogs = state.range(0);
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    calls = std::make_unique<Calls>(bench::config(), bench::dataplane());
    for (std::uint64_t i = 0; i < kForks; ++i) {
      if (!fork(*calls, bench::call_id(i), dialogs)) return state.SkipWithError("refused");
    }
    const bool leaves = std::string_view(what.name) == "leave";
    std::string last = branch(dialogs - (leaves ? 2 : 1));
    state.ResumeTiming();
    millrace_begin_counting();
    for (std::uint64_t i = 0; i < kForks; ++i) {
      const std::string id = bench::call_id(i);
      Request asked = request(Command::ping, id);
      asked.to_tag = {};
      what.ask(asked, last);
      const Reply reply = calls->handle(asked, Clock::now());
      if (std::holds_alternative<reply::Failure>(reply)) return state.SkipWithError("refused");
    }
  }
  state.counters["dialogs"] = static_cast<double>(kForks) * static_cast<double>(dialogs);
  calls.reset();
}

const bool kForkCasesAreThere = [] {
  for (const ForkCase& what : kForkCases) {
    benchmark::RegisterBenchmark((std::string("counted/calls/") + what.name).c_str(),
                                 [&what](benchmark::State& state) { in_a_fork(state, what); })
        ->ArgName("dialogs")
        ->Arg(8)
        ->Arg(64)
        ->Iterations(1);
  }
  return true;
}();

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Resident memory of the control side. The slots of the data plane were allocated at its start.
void hundred_thousand_calls(benchmark::State& state) {
  constexpr std::uint64_t kCalls = 100'000;
  for ([[maybe_unused]] auto _ : state) {
    Calls many(bench::config(), bench::dataplane());
    ::malloc_trim(0);
    const std::uint64_t before = resident_bytes();
    for (std::uint64_t i = 0; i < kCalls; ++i) {
      if (!establish(many, bench::call_id(i))) return state.SkipWithError("refused");
    }
    state.counters["bytes_per_call"] = static_cast<double>(resident_bytes() - before) / kCalls;
  }
}
BENCHMARK(hundred_thousand_calls)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::bench::run(argc, argv); }

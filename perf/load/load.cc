// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/load.h"

#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <ctime>
#include <thread>

#include <fmt/format.h>

#include "perf/load/device_wire.h"
#include "perf/load/kernel_wire.h"

namespace millrace::loadgen {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr milliseconds kSettle{200};  // packets sent earlier do not count: latching may drop them
constexpr milliseconds kLinger{300};  // from a call's last packet to its delete
constexpr milliseconds kQuiet{300};   // end of drain: no packet was received for this time
constexpr milliseconds kDrain{3000};  // limit of the drain

volatile std::sig_atomic_t interrupt_count = 0;

nanoseconds own_cpu() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

// Slots for transient calls: active ones, and those being set up or ended.
std::size_t transient_calls(const Options& options) {
  if (options.hold == 0) return 0;
  return static_cast<std::size_t>(options.calls_per_second * (options.hold + 2)) + 64;
}

Result<std::unique_ptr<Wire>> open_wire(const Options& options) {
  if (options.devices[0].empty()) {
    const bool rtcp_ports = options.rtcp_interval > 0 && !options.rtcp_mux;
    return KernelWire::open(
        {.first = options.parties, .ports = options.sockets, .rtcp_ports = rtcp_ports});
  }
  DeviceWireConfig config{
      .sides = {}, .ports = options.sockets, .hugepages = options.hugepages, .cpu = options.cpu};
  for (std::size_t i = 0; i < config.sides.size(); ++i) {
    const Prefix address{options.parties[i].address, options.prefix_lengths[i]};
    config.sides[i] = {options.devices[i], address, options.parties[i].port, std::nullopt};
    for (const IpAddress& gateway : options.gateways) {
      if (address.contains(gateway)) config.sides[i].gateway = gateway;
    }
  }
  return DeviceWire::open(config);
}

Result<Signalling> open_signalling(const Options& options, std::size_t calls,
                                   Signalling::Parties parties) {
  const Dialect& dialect = dialect_of(options);
  auto exchanges = Exchanges::open(options.control, dialect, options.outstanding);
  if (!exchanges) return std::unexpected(exchanges.error());
  Signalling signalling(std::move(*exchanges), dialect,
                        {options.shape, options.rtcp_mux, options.directions}, std::move(parties),
                        calls);
  if (const auto there = signalling.ping(); !there) return std::unexpected(there.error());
  return signalling;
}

}  // namespace

const Dialect& dialect_of(const Options& options) {
  if (options.protocol == "rtpproxy") return rtpproxy_dialect();
  if (options.protocol == "mediaproxy") return mediaproxy_dialect();
  return ng_dialect();
}

Result<Signalling> open_signalling(const Options& options, std::size_t calls) {
  return open_signalling(options, calls,
                         {.sdp_endpoints = {{{options.parties[0]}, {options.parties[1]}}},
                          .source = {options.parties[0].address, options.parties[1].address}});
}

bool interrupted() { return interrupt_count != 0; }

void watch_for_interrupt() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupt_count = interrupt_count + 1; };
  // A second signal terminates the process.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

std::uint64_t Measurement::sent() const {
  return tally.directions[0].sent + tally.directions[1].sent;
}

std::uint64_t Measurement::received() const {
  return tally.directions[0].received + tally.directions[1].received;
}

double Measurement::loss() const {
  const std::uint64_t lost = tally.directions[0].lost() + tally.directions[1].lost();
  return sent() == 0 ? 0 : static_cast<double>(lost) * 100 / static_cast<double>(sent());
}

Histogram Measurement::delay() const {
  Histogram both = tally.directions[0].delay;
  both.add(tally.directions[1].delay);
  return both;
}

Load::Load(const Options& options, std::unique_ptr<Wire> wire, Signalling signalling,
           std::size_t most)
    : options_(options),
      wire_(std::move(wire)),
      phones_({.calls = most + transient_calls(options),
               .shape = options.shape,
               .rtcp_interval = milliseconds(std::lround(options.rtcp_interval * 1000)),
               .rtcp_mux = options.rtcp_mux,
               .ports = options.sockets,
               .seed = options.seed},
              *wire_, Clock::now()),
      signalling_(std::move(signalling)),
      most_(most),
      states_(most + transient_calls(options), State::free) {
  for (std::size_t i = states_.size(); i-- > most;) free_.push_back(static_cast<std::uint32_t>(i));
}

Result<std::unique_ptr<Load>> Load::open(const Options& options, std::size_t most) {
  auto wire = open_wire(options);
  if (!wire) return std::unexpected(wire.error());
  Signalling::Parties parties;
  for (const Party party : {Party::caller, Party::callee}) {
    parties.source[index(party)] = options.parties[index(party)].address;
    for (unsigned i = 0; i < options.sockets; ++i) {
      const unsigned number = i + (options.nat ? options.sockets : 0);
      parties.sdp_endpoints[index(party)].push_back(
          (*wire)->endpoint({party, static_cast<std::uint8_t>(number), false}));
    }
  }
  auto signalling = open_signalling(options, most + transient_calls(options), std::move(parties));
  if (!signalling) return std::unexpected(signalling.error());
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  return std::unique_ptr<Load>(new Load(options, std::move(*wire), std::move(*signalling), most));
}

double Load::packets_per_second(std::size_t calls) const {
  return 2e6 * static_cast<double>(calls) / static_cast<double>(options_.shape.interval.count());
}

void Load::start(std::uint32_t call) {
  states_[call] = State::coming_up;
  ++unsettled_;
  signalling_.offer(call);
}

void Load::hang_up(std::uint32_t call, Clock::time_point now) {
  if (states_[call] != State::talking) return;
  states_[call] = State::leaving;
  ++unsettled_;
  if (call < most_) --up_;
  phones_.hang_up(call);
  removals_.push_back({now + kLinger, call});
}

void Load::take(const Signalling::Event& event) {
  const std::uint32_t call = event.call;
  const bool stays = call < most_;
  --unsettled_;
  if (event.kind == Signalling::Kind::up) {
    states_[call] = State::talking;
    phones_.connect(call, event.relay_endpoints, std::chrono::system_clock::now() + kSettle);
    if (stays) {
      ++up_;
    } else {
      const auto hold = std::chrono::duration<double>(options_.hold);
      ends_.push_back({Clock::now() + std::chrono::duration_cast<nanoseconds>(hold), call});
    }
    if (ending_) hang_up(call, Clock::now());
    return;
  }
  if (states_[call] == State::coming_up) refusal_ = signalling_.last_refusal();
  states_[call] = State::free;
  if (!stays) free_.push_back(call);
}

// Starts and ends transient calls; deletes calls that have stopped sending.
void Load::churn(Clock::time_point now) {
  while (!removals_.empty() && removals_.front().at <= now) {
    signalling_.remove(removals_.front().call);
    removals_.pop_front();
  }
  while (!ends_.empty() && ends_.front().at <= now) {
    hang_up(ends_.front().call, now);
    ends_.pop_front();
  }
  if (!transient_enabled_) return;
  const auto gap = std::chrono::duration_cast<nanoseconds>(
      std::chrono::duration<double>(1 / options_.calls_per_second));
  for (; next_call_ <= now && !free_.empty(); next_call_ += gap) {
    start(free_.back());
    free_.pop_back();
  }
}

void Load::start_transient_calls() {
  transient_enabled_ = options_.hold > 0;
  next_call_ = Clock::now();
}

void Load::turn() {
  const Clock::time_point now = Clock::now();
  if (!paces_.empty() && paces_.front().at <= now) {
    phones_.speed_up(paces_.front().factor, now);
    paces_.pop_front();
  }
  bool busy = phones_.send(now);
  for (int i = 0; i < 4 && phones_.receive(); ++i) busy = true;
  if (!signalling_.idle()) {
    for (const auto& event : signalling_.poll()) take(event);
    busy = true;
  }
  churn(now);
  if (!busy && options_.nap_us > 0) nap(now);
}

void Load::nap(Clock::time_point now) const {
  Clock::time_point until = now + std::chrono::microseconds(options_.nap_us);
  if (phones_.talking() > 0) until = std::min(until, phones_.due());
  if (until > now) std::this_thread::sleep_until(until);
}

std::string Load::status() const {
  const Tally& tally = phones_.tally();
  return fmt::format("{} calls, {} sent, {} received", phones_.talking(),
                     tally.directions[0].sent + tally.directions[1].sent,
                     tally.directions[0].received + tally.directions[1].received);
}

Result<void> Load::set_calls(std::size_t calls, Progress& progress) {
  stay_ = std::min(calls, most_);
  refusal_.clear();
  Clock::time_point next = Clock::now();
  const auto gap = options_.calls_per_second > 0
                       ? std::chrono::duration_cast<nanoseconds>(
                             std::chrono::duration<double>(1 / options_.calls_per_second))
                       : nanoseconds{};
  for (std::size_t i = stay_; i < most_; ++i) hang_up(static_cast<std::uint32_t>(i), next);
  std::size_t wanted = 0;
  while (!interrupted()) {
    const Clock::time_point now = Clock::now();
    // Queue at most two rounds of requests, so that few are sent after the relay refuses one.
    const std::size_t soon = std::size_t{2} * options_.outstanding;
    for (; wanted < stay_ && next <= now && refusal_.empty() && unsettled_ < soon; ++wanted) {
      if (states_[wanted] != State::free) continue;
      start(static_cast<std::uint32_t>(wanted));
      next += gap;
    }
    turn();
    progress.show(now, [this] { return fmt::format("{} of {} calls up", up_, stay_); });
    const bool has_transient = transient_enabled_ || !ends_.empty();
    const bool at_rest = has_transient ? up_ == stay_ : unsettled_ == 0;
    if (!refusal_.empty() && unsettled_ == 0) return fail(refusal_);
    if (wanted >= stay_ && at_rest) break;
  }
  return {};
}

void Load::run(nanoseconds time, Progress& progress) {
  const Clock::time_point end = Clock::now() + time;
  for (Clock::time_point now = Clock::now(); now < end && !interrupted(); now = Clock::now()) {
    turn();
    progress.show(now, [this] { return status(); });
  }
}

// Requests the relay's statistics while the loop runs on.
std::optional<WorkerCycles> Load::cycles_now() {
  if (!has_cycles_ || options_.protocol != "ng") return std::nullopt;
  signalling_.ask_statistics();
  const Clock::time_point end = Clock::now() + std::chrono::seconds(2);
  while (!signalling_.statistics() && Clock::now() < end) turn();
  const auto cycles = worker_cycles(signalling_.statistics().value_or(""));
  has_cycles_ = cycles.has_value();
  return cycles;
}

Measurement Load::measure(nanoseconds time, Progress& progress, nanoseconds step) {
  Measurement measured;
  const auto cycles = cycles_now();
  std::optional<Usage> before;
  if (options_.relay_pid != 0) {
    if (auto usage = usage_of(options_.relay_pid)) before = std::move(*usage);
  }
  const Stamp from = std::chrono::system_clock::now();
  const nanoseconds cpu = own_cpu();
  signalling_.tally() = SignallingTally();
  phones_.begin(from, step.count() > 0 ? std::optional<Series>(Series(from, step)) : std::nullopt);
  run(time, progress);
  const Stamp until = std::chrono::system_clock::now();
  phones_.end(until);
  measured.own_cpu = own_cpu() - cpu;
  measured.signalling = signalling_.tally();
  measured.calls = phones_.talking();
  if (before) {
    if (const auto usage = usage_of(options_.relay_pid)) measured.relay = *usage - *before;
  }
  if (cycles) {
    if (const auto then = cycles_now()) {
      measured.cycles = {.busy = then->busy - cycles->busy,
                         .relayed = then->relayed - cycles->relayed,
                         .per_second = then->per_second};
    }
  }
  const Tally& tally = phones_.tally();
  const auto under_way = [&tally] {
    std::uint64_t packets = 0;
    for (const Direction& d : tally.directions) {
      packets += d.lost() + d.rtcp_sent - std::min(d.rtcp_sent, d.rtcp_received);
    }
    return packets;
  };
  const Clock::time_point end = Clock::now() + kDrain;
  Clock::time_point changed = Clock::now();
  for (std::uint64_t missing = under_way(); missing > 0;) {
    turn();
    const Clock::time_point now = Clock::now();
    if (under_way() != missing) {
      missing = under_way();
      changed = now;
    }
    if (now - changed > kQuiet || now > end) break;
  }
  measured.seconds = std::chrono::duration<double>(until - from).count();
  measured.complete = !interrupted();
  measured.offered_pps = packets_per_second(measured.calls);
  for (const Party party : {Party::caller, Party::callee}) {
    measured.quality[index(party)] = phones_.quality(party);
  }
  measured.tally = std::move(phones_.tally());
  if (measured.tally.series) measured.tally.series->close();
  phones_.begin(Stamp::max());
  return measured;
}

void Load::end(Progress& progress) {
  transient_enabled_ = false;
  ending_ = true;
  ends_.clear();
  const Clock::time_point now = Clock::now();
  for (std::size_t i = 0; i < states_.size(); ++i) hang_up(static_cast<std::uint32_t>(i), now);
  const Clock::time_point late = now + std::chrono::seconds(15);
  while ((unsettled_ > 0 || !signalling_.idle()) && Clock::now() < late) {
    turn();
    progress.show(Clock::now(), [this] { return fmt::format("{} calls to end", unsettled_); });
  }
}

}  // namespace millrace::loadgen

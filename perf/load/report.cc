// SPDX-License-Identifier: BSD-3-Clause
#include "perf/load/report.h"

#include <cerrno>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include "dataplane/base/text.h"
#include "perf/load/machine.h"

namespace millrace::loadgen {
namespace {

double micros(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1000; }

double seconds(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e9; }

std::string_view name(Party party) {
  return party == Party::caller ? "caller to callee" : "callee to caller";
}

Json to_json(const Direction& direction, const StreamQuality& quality) {
  const double loss = direction.sent == 0 ? 0
                                          : static_cast<double>(direction.lost()) * 100 /
                                                static_cast<double>(direction.sent);
  return {{"sent", direction.sent},
          {"received", direction.received},
          {"lost", direction.lost()},
          {"loss_percent", loss},
          {"duplicates", direction.duplicates},
          {"reordered", direction.reordered},
          {"delay_us", to_json(direction.delay)},
          {"jitter_mean_us", quality.jitter_mean_us},
          {"jitter_max_us", quality.jitter_max_us},
          {"mos", quality.mos},
          {"mos_worst_stream", quality.mos_worst},
          {"streams", quality.streams},
          {"rtcp_sent", direction.rtcp_sent},
          {"rtcp_received", direction.rtcp_received}};
}

Json to_json(const Series& series) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < series.steps().size(); ++i) {
    const Series::Step& step = series.steps()[i];
    const auto received = static_cast<std::int64_t>(step.received);
    Json row = {{"at_s", seconds(series.width()) * static_cast<double>(i)},
                {"sent", step.sent},
                {"received", step.received},
                {"delay_mean_us", received == 0 ? 0 : micros(step.delay_sum / received)},
                {"delay_max_us", micros(step.delay_max)}};
    if (series.width() >= std::chrono::seconds(1)) {
      row["delay_p50_us"] = micros(step.delay_p50);
      row["delay_p99_us"] = micros(step.delay_p99);
    }
    rows.push_back(std::move(row));
  }
  return {{"step_s", seconds(series.width())}, {"rows", std::move(rows)}};
}

double cycles_per_packet(const WorkerCycles& cycles) {
  return cycles.relayed == 0
             ? 0
             : static_cast<double>(cycles.busy) / static_cast<double>(cycles.relayed);
}

}  // namespace

std::string to_text(std::chrono::nanoseconds time) {
  const double us = micros(time);
  if (us < 1000) return fmt::format("{:.1f} us", us);
  if (us < 1e6) return fmt::format("{:.2f} ms", us / 1000);
  return fmt::format("{:.2f} s", us / 1e6);
}

Json conditions(const Options& options) {
  const Machine machine = this_machine();
  Json json = {{"program", "millrace-load"},
               {"version", MILLRACE_VERSION},
               {"compiler", __VERSION__},
               {"date", machine.date},
               {"machine",
                {{"host", machine.host},
                 {"cpu", machine.cpu},
                 {"cores", machine.cores},
                 {"governor", machine.governor},
                 {"memory_mb", machine.memory_mb},
                 {"kernel", machine.kernel}}},
               {"command_line", options.command_line},
               {"mode", name(options.mode)}};
  json["conditions"] = {
      {"control", options.control.text()},
      {"protocol", options.protocol},
      {"connections", options.control.keep ? "kept" : "new"},
      {"outstanding", options.outstanding},
      {"calls", options.calls},
      {"flows", 2 * options.calls},
      {"calls_per_second", options.calls_per_second},
      {"hold_s", options.hold},
      {"codec", options.shape.name},
      {"payload_bytes", options.shape.payload},
      {"datagram_bytes", kRtpHeader + options.shape.payload},
      {"interval_us", options.shape.interval.count()},
      {"rtcp_interval_s", options.rtcp_interval},
      {"rtcp_mux", options.rtcp_mux},
      {"nat", options.nat},
      {"device", options.devices[0].empty() ? "kernel sockets" : options.devices[0]},
      {"callee_device", options.devices[1].empty() ? "kernel sockets" : options.devices[1]},
      {"hugepages", options.hugepages},
      {"sockets", options.sockets},
      {"burst", kBurst},
      {"caller", options.parties[0].text()},
      {"callee", options.parties[1].text()},
      {"cpu", options.cpu},
      {"nap_us", options.nap_us},
      {"warm_up_s", options.warm_up},
      {"duration_s", options.duration},
      {"relay_pid", options.relay_pid},
      {"seed", options.seed}};
  return json;
}

Json to_json(const Histogram& times) {
  return {{"count", times.count()},
          {"mean", micros(times.mean())},
          {"p50", micros(times.quantile(0.5))},
          {"p90", micros(times.quantile(0.9))},
          {"p99", micros(times.quantile(0.99))},
          {"p999", micros(times.quantile(0.999))},
          {"max", micros(times.largest())}};
}

Json to_json(const SignallingTally& tally) {
  Json commands = Json::object();
  for (const Verb verb : {Verb::offer, Verb::answer, Verb::remove}) {
    const CommandTally& command = tally.of(verb);
    commands[std::string(name(verb))] = {{"failed", command.failed},
                                         {"took_us", to_json(command.took)}};
  }
  return {{"offered", tally.offered}, {"up", tally.up},           {"removed", tally.removed},
          {"refused", tally.refused}, {"reasons", tally.reasons}, {"commands", commands}};
}

Json to_json(const Usage& usage, double lasted) {
  Json threads = Json::object();
  for (const auto& [thread, time] : usage.cpu) threads[thread] = seconds(time);
  return {{"cpu_s", seconds(usage.total())},
          {"cpu_without_workers_s", seconds(usage.without_workers())},
          {"cpu_share", lasted > 0 ? seconds(usage.total()) / lasted : 0},
          {"cpu_by_thread_s", std::move(threads)},
          {"resident_kb", usage.resident_kb}};
}

Json to_json(const Measurement& measured) {
  const Tally& tally = measured.tally;
  Json json = {{"complete", measured.complete},
               {"seconds", measured.seconds},
               {"calls", measured.calls},
               {"offered_pps", measured.offered_pps},
               {"sent_pps",
                measured.seconds > 0 ? static_cast<double>(measured.sent()) / measured.seconds : 0},
               {"sent", measured.sent()},
               {"received", measured.received()},
               {"loss_percent", measured.loss()},
               {"delay_us", to_json(measured.delay())},
               {"caller_to_callee", to_json(tally.directions[0], measured.quality[0])},
               {"callee_to_caller", to_json(tally.directions[1], measured.quality[1])},
               {"generator",
                {{"kept_up", measured.kept_up()},
                 {"cpu_s", seconds(measured.own_cpu)},
                 {"lateness_us", to_json(tally.lateness)},
                 {"not_sent", tally.not_sent},
                 {"misdelivered", tally.misdelivered},
                 {"unknown", tally.unknown}}},
               {"signalling", to_json(measured.signalling)}};
  if (measured.relay) {
    json["relay"] = to_json(*measured.relay, measured.seconds);
    if (measured.received() > 0) {
      json["relay"]["cpu_s_per_million_packets"] =
          seconds(measured.relay->total()) * 1e6 / static_cast<double>(measured.received());
    }
  }
  if (measured.cycles) {
    json["relay_workers"] = {{"busy_cycles", measured.cycles->busy},
                             {"relayed", measured.cycles->relayed},
                             {"busy_cycles_per_packet", cycles_per_packet(*measured.cycles)},
                             {"cycles_per_second", measured.cycles->per_second}};
  }
  if (tally.series) json["series"] = to_json(*tally.series);
  return json;
}

std::string to_text(const SignallingTally& tally) {
  std::string text;
  for (const Verb verb : {Verb::offer, Verb::answer, Verb::remove}) {
    const CommandTally& command = tally.of(verb);
    if (command.took.count() + command.failed == 0) continue;
    text += fmt::format("{:<18}{:>10}  p50 {:>9}  p99 {:>9}  max {:>9}", name(verb),
                        command.took.count(), to_text(command.took.quantile(0.5)),
                        to_text(command.took.quantile(0.99)), to_text(command.took.largest()));
    if (command.failed > 0) text += fmt::format("  {} failed", command.failed);
    text += '\n';
  }
  for (const auto& [reason, count] : tally.reasons) {
    text += fmt::format("  {} times: {}\n", count, reason);
  }
  return text;
}

std::string to_text(const Measurement& measured) {
  const Tally& tally = measured.tally;
  std::string text =
      fmt::format("{} calls, {:.1f} s, {:.0f} packets/s sent{}\n", measured.calls, measured.seconds,
                  static_cast<double>(measured.sent()) / measured.seconds,
                  measured.complete ? "" : " (interrupted)");
  text +=
      fmt::format("{:<18}{:>10}{:>10}{:>8}{:>9}{:>7}{:>11}{:>10}{:>10}{:>10}{:>10}{:>10}{:>6}\n",
                  "", "sent", "received", "lost", "loss %", "dup", "reordered", "p50", "p99",
                  "p99.9", "max", "jitter", "MOS");
  for (const Party party : {Party::caller, Party::callee}) {
    const Direction& d = tally.directions[index(party)];
    const StreamQuality& quality = measured.quality[index(party)];
    const double loss =
        d.sent == 0 ? 0 : static_cast<double>(d.lost()) * 100 / static_cast<double>(d.sent);
    text += fmt::format(
        "{:<18}{:>10}{:>10}{:>8}{:>9.4f}{:>7}{:>11}{:>10}{:>10}{:>10}{:>10}{:>10}{:>6.2f}\n",
        name(party), d.sent, d.received, d.lost(), loss, d.duplicates, d.reordered,
        to_text(d.delay.quantile(0.5)), to_text(d.delay.quantile(0.99)),
        to_text(d.delay.quantile(0.999)), to_text(d.delay.largest()),
        fmt::format("{:.1f} us", quality.jitter_mean_us), quality.mos);
  }
  const std::uint64_t rtcp_sent = tally.directions[0].rtcp_sent + tally.directions[1].rtcp_sent;
  if (rtcp_sent > 0) {
    text += fmt::format("RTCP              {:>10}{:>10}\n", rtcp_sent,
                        tally.directions[0].rtcp_received + tally.directions[1].rtcp_received);
  }
  text +=
      fmt::format("generator late    p50 {}, p99 {}, max {}", to_text(tally.lateness.quantile(0.5)),
                  to_text(tally.lateness.quantile(0.99)), to_text(tally.lateness.largest()));
  if (!measured.kept_up()) text += "; GENERATOR DOES NOT KEEP UP: load too high or machine busy";
  if (tally.not_sent > 0) text += fmt::format("; {} packets not sent", tally.not_sent);
  text += '\n';
  if (tally.misdelivered + tally.unknown > 0) {
    text += fmt::format("not counted       {} misdelivered, {} unknown\n", tally.misdelivered,
                        tally.unknown);
  }
  if (measured.relay) {
    text += fmt::format("relay             {:.1f} % of a core, {:.2f} CPU s/Mpacket, {:.1f} MB\n",
                        seconds(measured.relay->total()) * 100 / measured.seconds,
                        measured.received() == 0 ? 0
                                                 : seconds(measured.relay->total()) * 1e6 /
                                                       static_cast<double>(measured.received()),
                        static_cast<double>(measured.relay->resident_kb) / 1024);
  }
  if (measured.cycles) {
    text += fmt::format("relay workers     {:.0f} busy cycles per packet\n",
                        cycles_per_packet(*measured.cycles));
  }
  return text + to_text(measured.signalling);
}

Result<void> write_json(const std::string& file, const Json& json) {
  std::ofstream out(file);
  out << json.dump(2) << '\n';
  out.flush();
  if (out) return {};
  return fail("cannot write " + file + ": " + error_text(errno));
}

}  // namespace millrace::loadgen

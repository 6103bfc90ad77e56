// SPDX-License-Identifier: BSD-3-Clause
#include "control/call/call_log.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "control/call/call_report.h"
#include "control/log.h"

namespace millrace {
namespace {

template <typename Value>
std::string by_party(const CallReport& call, Value&& value) {
  std::string line;
  for (const TagReport& party : call.tags) {
    fmt::format_to(std::back_inserter(line), "{}{} {}", line.empty() ? "" : ", ", party.tag,
                   value(party));
  }
  return line;
}

template <typename Add>
void for_each_stream(const TagReport& party, Add&& add) {
  for (const MediaReport& media : party.sections) {
    for (const StreamReport& stream : media.streams) add(stream.flow);
  }
}

// RTP and RTCP packets received.
std::string packets_by_party(const CallReport& call) {
  return by_party(call, [](const TagReport& party) {
    std::uint64_t packets = 0;
    for_each_stream(party, [&](const FlowReport& flow) { packets += flow.packets; });
    return packets;
  });
}

// RTP packets lost on the way to the relay (RFC 3550 A.3).
std::string lost_by_party(const CallReport& call) {
  return by_party(call, [](const TagReport& party) {
    std::int64_t lost = 0;
    for_each_stream(party, [&](const FlowReport& flow) { lost += flow.lost; });
    return lost;
  });
}

// Seconds since the last valid packet.
std::string silence_by_party(const CallReport& call) {
  return by_party(call, [](const TagReport& party) -> std::string {
    std::optional<std::chrono::nanoseconds> idle;
    for_each_stream(party, [&](const FlowReport& flow) {
      if (flow.idle) idle = std::min(idle.value_or(*flow.idle), *flow.idle);
    });
    if (!idle) return "never";
    return fmt::to_string(std::chrono::duration_cast<std::chrono::seconds>(*idle).count());
  });
}

// Seconds from the first answer to the report.
std::string talk_time(const CallReport& call) {
  if (!call.answered) return "";
  return fmt::format("{:.1f}",
                     std::chrono::duration<double>(call.reported - *call.answered).count());
}

}  // namespace

void log_signal(const Request& request, std::string_view event, const Call& call,
                std::string_view sender) {
  if (!log_enabled(Level::info)) return;
  log_event(Level::info, event,
            {{"call-id", request.call_id},
             {"from-tag", request.from_tag},
             {"to-tag", request.to_tag},
             {"via-branch", request.via_branch},
             {"media", media_summary(call.state(), sender, call.realms())}});
}

void log_state(const Call& call) {
  if (!log_enabled(Level::debug)) return;
  log_event(Level::debug, "state", {{"call-id", call.id()}, {"state", print(call.state())}});
}

void log_end(std::string_view call_id, std::string_view reason, bool expected,
             const CallReport& report) {
  const Level level = expected ? Level::info : Level::warning;
  if (!log_enabled(level)) return;
  log_event(level, reason,
            {{"call-id", call_id},
             {"seconds", talk_time(report)},
             {"packets", packets_by_party(report)},
             {"lost", lost_by_party(report)},
             {"silent-seconds", expected ? "" : silence_by_party(report)}});
}

}  // namespace millrace
